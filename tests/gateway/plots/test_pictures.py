"""Pictures of a real feeder are readable; and the check that says so can fail."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import run
from matplotlib.figure import Figure
from pictures import check_figure, saved_figures


def test_pictures_of_a_real_feeder_are_readable(tmp_path: Path) -> None:
    result, folder = tmp_path / "r.json", tmp_path / "pictures"
    assert run("allocate", "bundled:reference", "-o", result).exit_code == 0
    with saved_figures() as figures:
        asked = ("plot", result, "-o", folder, "--scenario", "bundled:reference")
        assert run(*asked).exit_code == 0
    texts = [set(check_figure(figure)) for figure in figures]
    assert len(texts) == len(list(folder.iterdir())) == 4
    assert all(any("max-min" in text for text in each) for each in texts)


@pytest.mark.parametrize(
    ("place", "complaint"), [((0.1, 0.5), "some words"), ((0.95, 0.5), "outside"), ((0.6, 0.5), "")]
)
def test_words_that_cover_each_other_or_leave_the_picture_are_seen(
    place: tuple[float, float], complaint: str
) -> None:
    figure = Figure(figsize=(6, 4))
    axes = figure.subplots()
    axes.set_title("a title")
    axes.set_xlabel("x")
    axes.text(0.1, 0.5, "some words", transform=axes.transAxes)
    axes.text(*place, "other words here", transform=axes.transAxes)
    if not complaint:
        assert "some words" in check_figure(figure)
        return
    with pytest.raises(AssertionError, match=complaint):
        check_figure(figure)
