"""What couples the intervals of a day: energy, ramps, durations and rest of a resource's offers.

A resource's steps in one direction are activated together, so what is coupled is their sum.  Where
a term says when it is on, a variable of 0 or 1 for each interval says so (a unit commitment):

    least u_t <= sum of steps_t <= size_t u_t

Before the first interval nothing is activated; an activation ends within the day.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from doe_allocation.fairness.packing_program import PackingProgram
from security_check.arrays import FloatArray, IndexArray


@dataclass(frozen=True, slots=True)
class OfferTerms:
    """Terms over time of what a resource offers in one direction.

    Parameters
    ----------
    offers
        Indices of its steps.
    energy
        The most in the day, per unit of power times intervals; infinite without bound.
    ramp
        The largest change from one interval to the next, per unit; infinite without bound.
    least
        The least power while it is on, per unit.
    shortest, longest
        Intervals for which it is on without a break.
    rest
        Intervals for which it is off between two activations, at least.
    """

    offers: tuple[int, ...]
    energy: float = np.inf
    ramp: float = np.inf
    least: float = 0.0
    shortest: int = 1
    longest: int | None = None
    rest: int = 1

    @property
    def switched(self) -> bool:
        """Whether a term asks when it is on."""
        return self.least > 0.0 or self.longest is not None or self.shortest > 1 or self.rest > 1


@dataclass(frozen=True, slots=True)
class Coupling:
    """The terms of all resources that have some."""

    terms: tuple[OfferTerms, ...]

    def couple(
        self,
        program: PackingProgram,
        first: IndexArray,
        sizes: Sequence[FloatArray],
        unit: float,
    ) -> int:
        """Add the rows of all terms to a programme; return the number of variables added.

        Parameters
        ----------
        first
            Shape (T + 1,), the first variable of each interval; its offers come first.
        sizes
            Of each interval, shape (o,), what each offer can activate at most, in units.
        unit
            Per unit of power for a unit of the programme.
        """
        width, added = int(first[-1]), 0
        count = len(sizes)
        for terms in self.terms:
            places = [[int(first[t]) + k for k in terms.offers] for t in range(count)]
            size = np.array([each[list(terms.offers)].sum() for each in sizes])
            rows = _Rows(program, width + added)
            if np.isfinite(terms.energy):
                every = [(place, 1.0) for each in places for place in each]
                rows.add(every, -np.inf, terms.energy / unit)
            if np.isfinite(terms.ramp):
                for before, now in zip([[], *places], places, strict=False):
                    entries = [(k, 1.0) for k in now] + [(k, -1.0) for k in before]
                    rows.add(entries, -terms.ramp / unit, terms.ramp / unit)
            if terms.switched:
                added += _switch(rows, terms, places, size, unit)
        return added


@dataclass
class _Rows:
    """Adds rows by their entries; ``width`` variables are there."""

    program: PackingProgram
    width: int

    def add(self, entries: Sequence[tuple[int, float]], low: float, high: float) -> None:
        row = np.zeros(self.width)
        for place, value in entries:
            row[place] += value
        self.program.add_row(row, low, high)

    def whole(self) -> int:
        """Add a variable of 0 or 1."""
        self.width += 1
        return self.program.add_variable(0.0, 1.0, whole=True)


def _switch(
    rows: _Rows, terms: OfferTerms, places: list[list[int]], size: FloatArray, unit: float
) -> int:
    """Add variables that say when it is on, starts and stops, and their rows."""
    count = len(places)
    on = [rows.whole() for _ in range(count)]
    starts = [rows.whole() for _ in range(count)]
    stops = [rows.whole() for _ in range(count)]  # it was on in the interval before
    for t in range(count):
        power = [(k, 1.0) for k in places[t]]
        rows.add([*power, (on[t], -float(size[t]))], -np.inf, 0.0)
        rows.add([*power, (on[t], -terms.least / unit)], 0.0, np.inf)
        before = [(on[t - 1], -1.0)] if t else []
        rows.add([(on[t], 1.0), *before, (starts[t], -1.0), (stops[t], 1.0)], 0.0, 0.0)
        # Started within the shortest time, it is on; stopped within the rest, it is off.
        recent = range(max(t - terms.shortest + 1, 0), t + 1)
        rows.add([(on[t], -1.0), *((starts[k], 1.0) for k in recent)], -np.inf, 0.0)
        resting = range(max(t - terms.rest + 1, 0), t + 1)
        rows.add([(on[t], 1.0), *((stops[k], 1.0) for k in resting)], -np.inf, 1.0)
        if t > count - terms.shortest:
            rows.add([(starts[t], 1.0)], 0.0, 0.0)
        if terms.longest is not None and t + terms.longest < count:
            window = range(t, t + terms.longest + 1)
            rows.add([(on[k], 1.0) for k in window], -np.inf, float(terms.longest))
    return 3 * count
