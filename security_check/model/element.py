"""The names of monitored elements, as results and messages show them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from security_check.model.element_ids import phase_of

POWER_FLOW = "power_flow"
"""The name given instead of an element's where the AC power flow itself gives no result."""

# Between an element and the state that it is seen in.
_STATE = re.compile(r" (?=with |without )")
_WITH, _WITHOUT, _AT, _AND = "with ", "without ", " at ", " and "


@dataclass(frozen=True, slots=True)
class State:
    """A state of the network, by what differs from the usual one.

    As text it is empty for the usual state, ``"without line:3"`` after an outage, and ``"with
    trafo:0 at -2 and trafo:1 at 0 without line:3"`` where taps are at other positions, too.

    Parameters
    ----------
    positions
        Tap changers with the positions that differ, in order.
    outage
        The element that is out of service; empty where everything is in service.
    """

    positions: tuple[tuple[str, int], ...] = ()
    outage: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the state that a text names; the inverse of ``str``."""
        taps, _, outage = f" {text}".partition(f" {_WITHOUT}")
        stated = taps.strip().removeprefix(_WITH)
        pairs = (each.rpartition(_AT) for each in stated.split(_AND)) if stated else ()
        return cls(tuple((name, int(at)) for name, _, at in pairs), outage)

    def __str__(self) -> str:
        """Return the positions and the outage, in words."""
        words = []
        if self.positions:
            words.append(_WITH + _AND.join(f"{name}{_AT}{at}" for name, at in self.positions))
        if self.outage:
            words.append(_WITHOUT + self.outage)
        return " ".join(words)


USUAL = State()
"""Everything in service, and every tap changer at its usual position."""


@dataclass(frozen=True, slots=True)
class Element:
    """An element with a limit, in one state of the network.

    As text it is ``"line:12"`` in the usual state, ``"line:12 without line:3"`` after an outage
    and ``"bus:4 with trafo:0 at -2"`` with a tap at another position.

    Parameters
    ----------
    name
        Its id, which ends in its phase where phases are modelled: ``"line:12"``, ``"bus:4.a"``.
    state
        The state that it is seen in.
    """

    name: str
    state: State = USUAL

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the element that a text names; the inverse of ``str``."""
        name, *state = _STATE.split(text, maxsplit=1)
        return cls(name, State.parse(*state) if state else USUAL)

    def __str__(self) -> str:
        """Return the name and, in another state than the usual one, the state."""
        return f"{self.name} {self.state}" if self.state != USUAL else self.name

    @property
    def phase(self) -> str:
        """The phase in the name, ``"a"`` of ``"bus:4.a"``; empty where it has none."""
        return phase_of(self.name)
