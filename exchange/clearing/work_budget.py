"""Work budgets: bounds on the search for one event, counted in work, never in time.

The choice of conditional orders is a subset-sum problem, for which no exact method has a useful
bound.  So an event has a budget for all its programs together; when it is used up, the best result
found stands.  Work is counted the same on every machine, so the same events lead to the same
trades.  A unit is about the work of a small linear program from a warm start (0.1 ms); the weights
below were fitted to measured times.
"""

from __future__ import annotations

from dataclasses import dataclass, field

CHOICES = 3_000
"""Units of an event for the choice of conditional orders: 0.3 s or so."""

LOTS = 20_000
"""Units of an event for whole lots, apart, so that conditional orders cannot stop plain ones."""

JOINED = 10_000
"""Units that searches over joined intervals may take at once, over all events."""

REGAINED = 500
"""Units of these that each event adds again."""

_JOIN = 6  # linear programs of its size that the setup of a joined program costs
_CONDITION = 10  # units for each order with a condition in a joined program
_ENTRIES = 25_000  # coefficients of a linear program for each unit
_ROOT = 100  # units of a mixed-integer program before its first node
_COLUMN = 2  # units for each of its variables
_NODE = 3  # units of a node beyond its linear program


@dataclass(frozen=True, slots=True)
class ProgramCost:
    """The cost of programs of one size, in units."""

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
    """The units left of a budget."""

    left: int

    def nodes(self, work: ProgramCost) -> int:
        """Return how many nodes a mixed-integer program may have; 0 if it may not start."""
        return max(self.left - work.root, 0) // work.node

    def spend(self, units: int) -> None:
        """Take units off."""
        self.left = max(self.left - units, 0)

    def close(self) -> None:
        """Use up the rest, because a program did not come to its end."""
        self.left = 0


@dataclass(slots=True)
class WorkBudget:
    """The budget of some programs in one event.

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
    """The budget of one event, with separate parts for single and for joined intervals.

    Searches over joined intervals are also bounded over many events: a block that is good by price
    but finds no counterpart of its size would cause a search after every order in any of its
    intervals.  One search may overdraw that account; then others wait until events have paid it
    back, except in auctions and after new limits.

    Attributes
    ----------
    alone
        For programs of one interval.
    joined
        For programs of intervals that joint orders bring together.
    joining
        Units that searches over joined intervals may still take; below zero, they wait.
    """

    alone: WorkBudget = field(default_factory=WorkBudget)
    joined: WorkBudget = field(default_factory=WorkBudget)
    joining: int = JOINED

    @property
    def used_up(self) -> bool:
        """Whether the budget for conditional orders is used up."""
        return not (self.alone.choices.left and self.joined.choices.left)

    @property
    def may_join(self) -> bool:
        """Whether a search may begin to join intervals."""
        return self.joining > 0

    def join(self, work: ProgramCost, conditions: int) -> None:
        """Take off the setup of a program over joined intervals."""
        self.joining -= _JOIN * work.linear + _CONDITION * conditions

    def let_join(self) -> None:
        """Let the next search join intervals, even if the account is overdrawn."""
        self.joining = max(self.joining, 1)

    def renew(self) -> None:
        """Begin another event."""
        searched = CHOICES - self.joined.choices.left + LOTS - self.joined.lots.left
        self.joining = min(self.joining - searched + REGAINED, JOINED)
        self.alone.renew()
        self.joined.renew()
