"""Pictures say how every interval stands: what is published, and how fair it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import dates
from pydantic import ValidationError

from doe_allocation.capacity import Capacity
from doe_allocation.fairness.principles import Rule
from gateway.formats.envelope_file import (
    EnvelopeFile,
    IntervalRecord,
    IntervalStatus,
    fairness_gap,
    fairness_reached,
)
from gateway.formats.envelope_rows import EnvelopeTable, Mark, read_envelopes
from gateway.formats.envelope_writers import result_writer
from gateway.plots.envelopes_over_time import draw_binding, draw_distribution, draw_envelopes

START = datetime(2026, 1, 1, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
POINTS = ("load:0", "load:1")

gaps = st.none() | st.floats(0.0, 1e9, allow_nan=False)
marks_of_intervals = st.builds(
    Mark,
    st.sampled_from(IntervalStatus),
    st.just(""),
    st.just("") | st.builds(fairness_reached, st.sampled_from(Rule).map(str), gaps),
)


def a_table(marks: list[Mark]) -> EnvelopeTable:
    count = len(marks)
    starts = tuple(START + k * QUARTER for k in range(count))
    published = np.array([mark.status is not IntervalStatus.NONE for mark in marks])
    limits_w = np.full((count, 2, 2), 5_000) * published[:, None, None]
    ends = tuple(start + QUARTER for start in starts)
    stops = np.zeros_like(limits_w)
    return EnvelopeTable(starts, ends, POINTS, limits_w, stops, ("bus:1",), tuple(marks))


def words_of(mark: Mark) -> str:
    """Return how the words begin that a picture has on an interval."""
    if mark.status is not IntervalStatus.SECURE:
        what = "nothing" if mark.status is IntervalStatus.NONE else "fallback"
        return f"not secured: {what} published"
    if mark.fairness.startswith("within"):
        return "secure, fair within"
    if mark.fairness == "not reached":
        return "secure, fairness not reached"
    return f"secure, {mark.fairness.replace('_', '-')}" if mark.fairness else "secure"


def marked(axes: Any) -> list[tuple[int, int]]:
    """Return first and last of the intervals of each mark in the strip above a panel."""
    spans = []
    for patch in axes.patches:
        if patch.get_facecolor()[3] == 0.0:
            continue  # the hatch of the mark below it
        ends = patch.get_extents().transformed(axes.transData.inverted())
        zero = dates.date2num(START)
        spans.append((round((ends.x0 - zero) * 96), round((ends.x1 - zero) * 96)))
    return spans


@settings(max_examples=40, deadline=None)
@given(st.lists(marks_of_intervals, min_size=1, max_size=9))
def test_every_interval_is_counted_and_marked_when_not_as_promised(marks: list[Mark]) -> None:
    table = a_table([*marks, Mark(fairness="max_min")])  # one has envelopes
    words = [words_of(mark) for mark in table.marks]
    rules = set(map(str, Rule))
    bad = [
        mark.status is not IntervalStatus.SECURE or mark.fairness not in {"", *rules}
        for mark in table.marks
    ]
    line = draw_distribution(table, "r").axes[0].get_title(loc="left")
    for each in set(words):
        assert f"{words.count(each)} {each}" in line
    for figure in (draw_envelopes(table, [], "r"), draw_binding(table, "r")):
        titles = [axes.get_title(loc="left") for axes in figure.axes]
        assert titles == ["" if any(bad) else line, ""]
        if not any(bad):
            assert not any(marked(axes) for axes in figure.axes)
            continue
        figure.canvas.draw()
        own = [text.get_text() for text in figure.axes[-1].get_legend().texts]
        assert sum(int(text.split()[0].replace(",", "")) for text in own) == len(words)
        for axes in figure.axes:
            spans = marked(axes)
            assert sum(last - first for first, last in spans) == len(words)
            for first, last in spans:  # a mark joins only intervals of one standing
                assert len({words[k] for k in range(first, last)}) == 1
            assert all(patch.get_clip_on() is False for patch in axes.patches)


@settings(max_examples=40, deadline=None)
@given(st.lists(marks_of_intervals, min_size=1, max_size=5))
def test_files_of_every_format_keep_it(
    tmp_path_factory: pytest.TempPathFactory, marks: list[Mark]
) -> None:
    folder = tmp_path_factory.mktemp("kept")
    table = a_table(marks)
    content = EnvelopeFile(intervals=[table.record(k) for k in range(len(marks))])
    capacity = Capacity.same(POINTS, 5_000, 5_000)
    for suffix in ("json", "csv", "parquet"):
        path = folder / f"r.{suffix}"
        with result_writer(path) as write:
            for record in content.intervals:
                write(record, capacity)
        assert read_envelopes(path) == content


@given(st.floats(2e-5, 1e12))
def test_a_gap_that_is_written_is_read(gap: float) -> None:
    assert fairness_gap(fairness_reached("max_min", gap)) == pytest.approx(gap, rel=0.051)


@pytest.mark.parametrize("text", ["max-min", "within", "within 0.04", "within x %", "Not reached"])
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(ValidationError, match=r"max_min, equal, .* or not reached"):
        IntervalRecord(start=START, end=START + QUARTER, fairness=text, envelopes=[])


def test_files_without_the_column_are_read(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text(
        "start,end,connection_point,direction,limit_w,bottleneck,status,reason\n"
        "2026-01-01T00:00:00Z,2026-01-01T00:15:00Z,load:0,injection,5,,secure,\n"
        "2026-01-01T00:00:00Z,2026-01-01T00:15:00Z,load:0,withdrawal,5,,secure,\n"
    )
    (record,) = read_envelopes(path).intervals
    assert record.fairness == ""
