"""Which process takes which area, where several processes share a list of areas.

The lease of an area alone decides which process owns it (:mod:`gateway.journal.redis_journal`).
The rule here decides only who tries: no process leads, and all that see the same decide the same.
An area without owner goes to the process with the fewest; then the process with the most gives
one to that with the fewest, until they differ by one area at most.  A process that does not take
what it should is passed over, so no area stays without owner while a process could serve it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

SLOW_FOR_S = 60.0
"""Seconds for which a process that was passed over is offered nothing."""
_GIVEN_UP_AFTER = 10  # times the patience: an area without owner then stops no other move


class Readiness(IntEnum):
    """Whether a process could serve an area now."""

    AWAY = 0
    """It does not follow the area's journal yet."""
    RELUCTANT = 1
    """It follows, and is busy or has failed lately: it serves where no other process would."""
    READY = 2
    """It serves the area, or follows it up to the last entry."""


Members = Mapping[str, Mapping[str, Readiness]]
"""The processes that live, with their readiness for each area."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a process does now.

    Parameters
    ----------
    take
        Areas without owner that it takes.
    give
        An area of its own that it gives back, for another process to take.
    """

    take: frozenset[str] = frozenset()
    give: str | None = None


def targets(
    members: Members, owners: Mapping[str, str | None], passed_over: Collection[str] = ()
) -> dict[str, str]:
    """Return where areas should go: all that have no owner and a process for them, and moves.

    The moves are the fewest after which processes that are ready for everything differ by one area
    at most.  After any of them has been made, the others follow again.

    Parameters
    ----------
    members
        The processes that live.
    owners
        The owner of each area, ``None`` without one; owners need not be members.
    passed_over
        Members that get nothing where there are others.
    """
    loads = dict.fromkeys(sorted(members), 0)
    owned: dict[str, list[str]] = {member: [] for member in loads}
    for area in sorted(owners):
        owner = owners[area]
        if owner in owned:
            owned[owner].append(area)
            loads[owner] += 1
    found = {}
    for area in sorted(area for area, owner in owners.items() if owner is None):
        candidates = _candidates(area, members, passed_over)
        if candidates:
            found[area] = min(candidates, key=lambda member: (loads[member], member))
            loads[found[area]] += 1
    receivers = {member: members[member] for member in loads if member not in passed_over}
    while (move := next(_moves(loads, owned, receivers), None)) is not None:
        area, giver, receiver = move
        owned[giver].remove(area)
        loads[giver] -= 1
        loads[receiver] += 1
        found[area] = receiver
    return found


def _candidates(area: str, members: Members, passed_over: Collection[str]) -> list[str]:
    """Return the members of the best kind that there is for an area."""
    able = [member for member in members if members[member][area] > Readiness.AWAY]
    willing = [member for member in able if member not in passed_over] or able
    return [m for m in willing if members[m][area] is Readiness.READY] or willing


def _moves(
    loads: Mapping[str, int], owned: Mapping[str, list[str]], receivers: Members
) -> Iterator[tuple[str, str, str]]:
    """Yield moves that make shares more equal, the largest difference first."""
    for giver in sorted(loads, key=lambda member: (-loads[member], member)):
        for receiver in sorted(receivers, key=lambda member: (loads[member], member)):
            if loads[giver] - loads[receiver] < 2:
                break
            for area in owned[giver]:
                if receivers[receiver][area] is Readiness.READY:
                    yield area, giver, receiver


class Turns:
    """Decides what one process does, look after look.

    Parameters
    ----------
    me
        Name of the process.
    patience_s
        Seconds in which the process whose turn it is must have taken an area.
    """

    def __init__(self, me: str, patience_s: float) -> None:
        self._me = me
        self._patience_s = patience_s
        self._awaited: dict[str, tuple[str | None, float]] = {}
        self._free_since: dict[str, float] = {}
        self._slow: dict[str, float] = {}
        self._seen: object = None
        self._plan: dict[str, str] = {}

    def decide(self, members: Members, owners: Mapping[str, str | None], moment: float) -> Decision:
        """Return what to do.

        Parameters
        ----------
        members, owners
            As for :func:`targets`; this process is among the members.
        moment
            Seconds that never run backwards.
        """
        free = [area for area, owner in owners.items() if owner is None]
        self._free_since = {area: self._free_since.get(area, moment) for area in free}
        self._slow = {each: until for each, until in self._slow.items() if until > moment}
        plan = self._planned(members, owners)
        late = set(self._late(plan, moment))
        if late:
            self._slow |= dict.fromkeys(late, moment + SLOW_FOR_S)
            plan = self._planned(members, owners)
        self._await(plan, moment)
        take = frozenset(area for area in free if plan.get(area) == self._me)
        mine = (area for area in sorted(plan) if owners[area] == self._me)
        return Decision(take, next(mine, None) if self._is_quiet(moment) else None)

    def _planned(self, members: Members, owners: Mapping[str, str | None]) -> dict[str, str]:
        seen = (dict(members), dict(owners), set(self._slow))
        if seen != self._seen:
            self._plan, self._seen = targets(members, owners, frozenset(self._slow)), seen
        return self._plan

    def _late(self, plan: Mapping[str, str], moment: float) -> Iterator[str]:
        """Yield the others that have not taken an area in time."""
        for area in self._free_since:
            member, since = self._awaited.get(area, (None, moment))
            if member is None or member == self._me or plan.get(area) != member:
                continue
            if moment - since > self._patience_s:
                yield member

    def _await(self, plan: Mapping[str, str], moment: float) -> None:
        """Note whose turn each area without owner is, and since when."""
        before = self._awaited
        self._awaited = {}
        for area in self._free_since:
            member, since = before.get(area, (None, moment))
            is_same = member is not None and member == plan.get(area)
            self._awaited[area] = (plan.get(area), since if is_same else moment)

    def _is_quiet(self, moment: float) -> bool:
        """Return whether every area has an owner, but for those that no process can serve."""
        patience_s = _GIVEN_UP_AFTER * self._patience_s
        return all(moment - since > patience_s for since in self._free_since.values())
