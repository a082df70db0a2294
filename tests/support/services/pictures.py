"""Pictures as a reader sees them: what is written where, and that nothing covers a word."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from matplotlib.axis import Tick
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

_TOUCHING = 1.0  # pixels by which boxes of words may touch


@contextlib.contextmanager
def saved_figures() -> Iterator[list[Any]]:
    """Collect every figure that is saved, as it was when it was saved."""
    found: list[Any] = []
    save = Figure.savefig

    def saved(figure: Any, *arguments: Any, **named: Any) -> None:
        save(figure, *arguments, **named)
        found.append(figure)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", saved)
        yield found


def words(figure: Any) -> dict[str, list[Bbox]]:
    """Return every text that is drawn, with the boxes that it covers, in pixels."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    hidden = {id(text) for tick in figure.findobj(Tick) for text in _not_drawn(tick)}
    found: dict[str, list[Bbox]] = {}
    for text in figure.findobj(Text):
        if text.get_visible() and text.get_text().strip() and id(text) not in hidden:
            box = text.get_window_extent(renderer)
            found.setdefault(text.get_text(), []).append(box)
    return found


def _not_drawn(tick: Any) -> list[Any]:
    """Return the labels of a tick that lies outside of what its axis shows."""
    labels = [tick.label1, tick.label2]
    axis = tick.axes.xaxis if tick in tick.axes.xaxis.get_major_ticks() else tick.axes.yaxis
    low, high = sorted(axis.get_view_interval())
    room = 1e-9 * (high - low)
    shown = low - room <= tick.get_loc() <= high + room and tick.axes.axison
    return [] if shown else labels


def check_figure(figure: Any) -> dict[str, list[Bbox]]:
    """Check that every text is inside the picture and covers no other; return the texts."""
    found = words(figure)
    page = figure.bbox.padded(_TOUCHING)
    every = [(text, box) for text, boxes in found.items() for box in boxes]
    for text, box in every:
        assert page.contains(box.x0, box.y0), f"{text!r} begins outside of the picture"
        assert page.contains(box.x1, box.y1), f"{text!r} ends outside of the picture"
    for (one, first), (other, second) in itertools.combinations(every, 2):
        covered = Bbox.intersection(first.padded(-_TOUCHING), second.padded(-_TOUCHING))
        assert covered is None or min(covered.width, covered.height) <= 0.0, (one, other)
    for axes in figure.axes:
        assert axes.get_xlabel() or axes.get_ylabel() or axes.get_title(), "a panel says nothing"
    assert figure.get_suptitle() or any(axes.get_title() for axes in figure.axes), "no title"
    return found
