"""How much may be searched for one event: counted in work that is done, never in time.

Which conditional orders trade is a problem whose effort nobody can bound and still be exact, so the
effort is bounded: an event has so much for all its programs together, and what is found when it is
used up stands.  It is counted the same on every machine, so the same events lead to the same
trades.  A unit is about what a small linear program takes from a warm start.
"""

from __future__ import annotations

from dataclasses import dataclass, field

CHOICES = 3_000
"""Units of an event for which conditional orders trade."""

LOTS = 20_000
"""Units of an event for whole lots: who exhausts the others does not stop plain orders."""

_ENTRIES = 25_000  # coefficients that make a program a unit dearer
_ROOT = 100  # units that a mixed-integer program costs at least
_COLUMN = 2  # units more for each of its variables
_NODE = 3  # units that a node costs beyond its linear program


@dataclass(frozen=True, slots=True)
class Work:
    """What programs of one size cost, in units."""

    rows: int
    columns: int

    @property
    def linear(self) -> int:
        """Of a linear program from a warm start."""
        return 1 + self.rows * self.columns // _ENTRIES

    @property
    def root(self) -> int:
        """Of a mixed-integer program before its first node."""
        return _ROOT + _COLUMN * self.columns

    @property
    def node(self) -> int:
        """Of a node of a mixed-integer program."""
        return _NODE + self.linear


@dataclass(slots=True)
class Budget:
    """What is left of an effort, in units."""

    left: int

    def nodes(self, work: Work) -> int:
        """Return how many nodes a mixed-integer program may have; 0 where it may not be begun."""
        return max(self.left - work.root, 0) // work.node

    def spend(self, units: int) -> None:
        """Take off what work has taken."""
        self.left = max(self.left - units, 0)

    def close(self) -> None:
        """Leave nothing: a program did not come to its end."""
        self.left = 0


@dataclass(slots=True)
class Effort:
    """The effort of some programs in one event.

    Attributes
    ----------
    choices
        For conditional orders.
    lots
        For whole lots.
    """

    choices: Budget = field(default_factory=lambda: Budget(CHOICES))
    lots: Budget = field(default_factory=lambda: Budget(LOTS))

    def renew(self) -> None:
        """Begin another event."""
        self.choices.left, self.lots.left = CHOICES, LOTS


@dataclass(slots=True)
class EventEffort:
    """The effort of one event: joint orders cannot exhaust that of an interval by itself.

    Attributes
    ----------
    alone
        For programs of one interval.
    joined
        For programs of intervals that joint orders bring together.
    """

    alone: Effort = field(default_factory=Effort)
    joined: Effort = field(default_factory=Effort)

    @property
    def used_up(self) -> bool:
        """Whether something is left undecided for want of effort."""
        return not (self.alone.choices.left and self.joined.choices.left)

    def renew(self) -> None:
        """Begin another event."""
        self.alone.renew()
        self.joined.renew()
