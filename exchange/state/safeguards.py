"""The safeguards in force: which lost sessions cancel whose orders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from exchange.vocabulary.commands import SetSafeguard
from exchange.vocabulary.reasons import OnDisconnect
from exchange.vocabulary.safeguard_events import SafeguardSet
from exchange.vocabulary.serialization import from_plain, to_plain


@dataclass(frozen=True, slots=True)
class Safeguard:
    """The safeguard of one session; as :class:`exchange.vocabulary.commands.SetSafeguard`."""

    session: str
    device: str | None
    on_disconnect: OnDisconnect
    silent_s: int | None

    @classmethod
    def of(cls, asked: SetSafeguard | SafeguardSet) -> Safeguard:
        """Return the safeguard that a command asks for, or that an event puts into force."""
        return cls(asked.session, asked.device, asked.on_disconnect, asked.silent_s)

    @property
    def guards(self) -> bool:
        """Whether there is anything at all by which the session can be lost."""
        return self.on_disconnect is OnDisconnect.CANCEL or self.silent_s is not None


class Safeguards:
    """The safeguards in force, changed only by :mod:`exchange.state.effects`.

    Parameters
    ----------
    kept
        How many sessions whose connection broke are remembered of each participant.  Such a name
        cannot be used again: the broker may say once more that the connection broke.  So there must
        be at least as many as the broker may deliver messages again.
    """

    __slots__ = ("_broken", "_in_force", "_kept")

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._in_force: dict[str, list[Safeguard]] = {}
        self._broken: dict[str, dict[str, None]] = {}  # Oldest first.

    def of(self, participant: str) -> list[Safeguard]:
        """Return the safeguards of a participant, oldest first."""
        return list(self._in_force.get(participant, ()))

    def find(self, participant: str, session: str) -> Safeguard | None:
        """Return the safeguard of a session, if it has one."""
        own = self._in_force.get(participant, ())
        return next((each for each in own if each.session == session), None)

    def broke(self, participant: str, session: str) -> bool:
        """Return whether the connection of a session is known to have broken.  O(1)."""
        return session in self._broken.get(participant, ())

    def others(self, participant: str, wanted: Safeguard) -> list[Safeguard]:
        """Return the safeguards whose place another one does not take."""
        return [
            each
            for each in self._in_force.get(participant, ())
            if each.session != wanted.session and each.device != wanted.device
        ]

    def watched(self) -> dict[tuple[str, str], int]:
        """Return the seconds of silence that each participant's sessions may keep."""
        return {
            (participant, each.session): each.silent_s
            for participant, own in self._in_force.items()
            for each in own
            if each.silent_s is not None
        }

    def set(self, participant: str, wanted: Safeguard) -> None:
        """Put a safeguard into force, or end that of its session."""
        if wanted.guards:
            self._in_force[participant] = [*self.others(participant, wanted), wanted]
        else:
            self._end(participant, wanted.session)

    def lose(self, participant: str, session: str, *, broke: bool) -> None:
        """End the safeguard of a session that is lost; ``broke``: its connection broke."""
        self._end(participant, session)
        if broke:
            broken = self._broken.setdefault(participant, {})
            broken[session] = None
            while len(broken) > self._kept:
                del broken[next(iter(broken))]

    def _end(self, participant: str, session: str) -> None:
        own = [each for each in self.of(participant) if each.session != session]
        if own:
            self._in_force[participant] = own
        else:
            self._in_force.pop(participant, None)

    def snapshot(self) -> dict[str, Any]:
        """Return everything as JSON-able data."""
        return {
            "in_force": {
                participant: [to_plain(each) for each in own]
                for participant, own in sorted(self._in_force.items())
            },
            "broken": {participant: list(own) for participant, own in sorted(self._broken.items())},
        }

    @classmethod
    def restore(cls, data: dict[str, Any], kept: int) -> Safeguards:
        """Return the safeguards a snapshot was taken of."""
        restored = cls(kept)
        restored._in_force = {
            participant: [from_plain(Safeguard, each) for each in own]
            for participant, own in data["in_force"].items()
        }
        restored._broken = {
            participant: dict.fromkeys(own) for participant, own in data["broken"].items()
        }
        return restored

    def check_invariants(self) -> None:
        """Check that each device and each session has one safeguard that guards something.

        Raises
        ------
        AssertionError
            With the participant.
        """
        for participant, own in self._in_force.items():
            assert own, f"{participant}: no safeguards"
            assert all(each.guards for each in own), f"{participant}: {own}"
            for names in ([each.session for each in own], [each.device for each in own]):
                assert len(set(names)) == len(names), f"{participant}: {own}"
            assert not any(self.broke(participant, each.session) for each in own), participant
        for participant, broken in self._broken.items():
            assert 0 < len(broken) <= self._kept, f"{participant}: {len(broken)} sessions kept"
