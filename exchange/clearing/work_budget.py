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

JOINED = 10_000
"""Units that searches over intervals which joint orders join may take, over all events."""

REGAINED = 500
"""Units of these that each event brings back."""

_JOIN = 6  # linear programs of its size that a program over joined intervals costs by itself
_CONDITION = 10  # units more for each order with a condition in it
_ENTRIES = 25_000  # coefficients that make a program a unit dearer
_ROOT = 100  # units that a mixed-integer program costs at least
_COLUMN = 2  # units more for each of its variables
_NODE = 3  # units that a node costs beyond its linear program


@dataclass(frozen=True, slots=True)
class ProgramCost:
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
class RemainingWork:
    """What is left of an effort, in units."""

    left: int

    def nodes(self, work: ProgramCost) -> int:
        """Return how many nodes a mixed-integer program may have; 0 where it may not be begun."""
        return max(self.left - work.root, 0) // work.node

    def spend(self, units: int) -> None:
        """Take off what work has taken."""
        self.left = max(self.left - units, 0)

    def close(self) -> None:
        """Leave nothing: a program did not come to its end."""
        self.left = 0


@dataclass(slots=True)
class WorkBudget:
    """The effort of some programs in one event.

    Attributes
    ----------
    choices
        For conditional orders.
    lots
        For whole lots.
    """

    choices: RemainingWork = field(default_factory=lambda: RemainingWork(CHOICES))
    lots: RemainingWork = field(default_factory=lambda: RemainingWork(LOTS))

    def renew(self) -> None:
        """Begin another event."""
        self.choices.left, self.lots.left = CHOICES, LOTS


@dataclass(slots=True)
class EventBudget:
    """The effort of one event: joint orders cannot exhaust that of an interval by itself.

    What searches over joined intervals may take is bounded over many events, too: a block that is
    good by price but finds no counterpart of its size would be searched for again after every order
    in any of its intervals.  One search may overdraw it; then others wait until events have paid it
    back, but for those that no single order sets off: auctions, and new limits.

    Attributes
    ----------
    alone
        For programs of one interval.
    joined
        For programs of intervals that joint orders bring together.
    joining
        Units that searches over joined intervals may take yet; below zero, they wait.
    """

    alone: WorkBudget = field(default_factory=WorkBudget)
    joined: WorkBudget = field(default_factory=WorkBudget)
    joining: int = JOINED

    @property
    def used_up(self) -> bool:
        """Whether something is left undecided for want of effort."""
        return not (self.alone.choices.left and self.joined.choices.left)

    @property
    def may_join(self) -> bool:
        """Whether a search may begin to join intervals."""
        return self.joining > 0

    def join(self, work: ProgramCost, conditions: int) -> None:
        """Take off what a program over joined intervals costs by itself."""
        self.joining -= _JOIN * work.linear + _CONDITION * conditions

    def let_join(self) -> None:
        """Let the next search join intervals in any case."""
        self.joining = max(self.joining, 1)

    def renew(self) -> None:
        """Begin another event."""
        searched = CHOICES - self.joined.choices.left + LOTS - self.joined.lots.left
        self.joining = min(self.joining - searched + REGAINED, JOINED)
        self.alone.renew()
        self.joined.renew()
