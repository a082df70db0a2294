"""Look at the processes that share a list of areas, and let this one take and give."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence

from gateway.errors import GatewayError
from gateway.installation.area_runner import AreaRunner
from gateway.installation.failures import Failures
from gateway.installation.shares import Readiness, Turns
from gateway.journal.members import MemberBoard

_LOG = logging.getLogger(__name__)
_LOOK_EVERY_S = 0.05  # a free lease, and a new entry of another's journal, is seen so soon
_ANNOUNCE_PARTS = 4  # announcements within the time of a lease
_PATIENCE_LEASES = 2.0  # leases in which the process whose turn it is must have taken an area
_PAUSE_S = 1.0  # after a look that failed


class Sharing:
    """Shares areas with all processes that have the same list.

    Parameters
    ----------
    url
        The Redis server.
    name
        Of this process: the owner of its leases.
    runners
        The areas.
    lease_s
        Seconds of a lease.
    failures
        Notes that the server has answered.
    """

    def __init__(
        self, url: str, name: str, runners: Sequence[AreaRunner], lease_s: float, failures: Failures
    ) -> None:
        self._url = url
        self._name = name
        self._runners = {each.area: each for each in runners}
        self._areas = sorted(self._runners)
        self._lease_s = lease_s
        self._failures = failures
        self._turns = Turns(name, _PATIENCE_LEASES * lease_s)
        self._announced_at = 0.0
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """Let it end; safe in a signal handler."""
        self._stopped.set()

    async def run(self) -> None:
        """Look, again and again, until it is stopped; then tell the others.

        Raises
        ------
        GatewayError
            When the server has never answered.
        """
        async with MemberBoard(self._url, self._name, self._areas, self._lease_s) as board:
            is_blind = False
            while not self._stopped.is_set():
                pause_s = _LOOK_EVERY_S
                try:
                    await self._look(board)
                    self._failures.has_run, is_blind = True, False
                except GatewayError as error:
                    if not self._failures.has_run:
                        raise
                    if not is_blind:
                        _LOG.error("the other processes cannot be seen: %s", error)
                    pause_s, is_blind = _PAUSE_S, True
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await self._stopped.wait()
            with contextlib.suppress(GatewayError):  # then they find out by themselves
                await board.leave()

    async def _look(self, board: MemberBoard) -> None:
        seen, moment = await board.look(), time.monotonic()
        members = {name: self._read(word) for name, word in seen.members.items()}
        members[self._name] = self._readiness()
        owners = {name: each.owner for name, each in seen.areas.items()}
        decision = self._turns.decide(members, owners, moment)
        for name, runner in self._runners.items():
            runner.note(seen.areas[name], take=name in decision.take, give=name == decision.give)
        if moment - self._announced_at >= self._lease_s / _ANNOUNCE_PARTS:
            mine = self._readiness()
            await board.announce(word_of([mine[each] for each in self._areas]))
            self._announced_at = moment

    def _readiness(self) -> dict[str, Readiness]:
        """Return for which areas this process is ready.

        While it rebuilds the state of an area, its loop is busy: then it takes what no other
        process would, and is given nothing.
        """
        found = {name: each.readiness() for name, each in self._runners.items()}
        if any(each.is_catching_up for each in self._runners.values()):
            return {name: min(kind, Readiness.RELUCTANT) for name, kind in found.items()}
        return found

    def _read(self, word: str) -> dict[str, Readiness]:
        found = readiness_of(word, len(self._areas))
        return dict(zip(self._areas, found, strict=True))


def word_of(readiness: Sequence[Readiness]) -> str:
    """Return the word in which a process says what it is ready for, a digit for each area."""
    return "".join(str(each.value) for each in readiness)


def readiness_of(word: str, count: int) -> list[Readiness]:
    """Return what a word says of so many areas; a word of another form is ready for nothing."""
    known = {str(each.value): each for each in Readiness}
    if len(word) != count or not set(word) <= known.keys():
        return [Readiness.AWAY] * count
    return [known[each] for each in word]
