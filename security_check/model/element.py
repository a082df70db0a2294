"""The names of monitored elements, as results and messages show them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from security_check.model.element_ids import phase_of

POWER_FLOW = "power_flow"
"""The name given instead of an element's where the AC power flow itself gives no result."""

_WITHOUT = " without "  # between an element and the outage that it is seen after


@dataclass(frozen=True, slots=True)
class Element:
    """An element with a limit, in one state of the network.

    As text it is ``"line:12"`` with everything in service and ``"line:12 without line:3"`` after
    an outage.

    Parameters
    ----------
    name
        Its id, which ends in its phase where phases are modelled: ``"line:12"``, ``"bus:4.a"``.
    outage
        The element that is out of service; empty where everything is in service.
    """

    name: str
    outage: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the element that a text names; the inverse of ``str``."""
        name, _, outage = text.partition(_WITHOUT)
        return cls(name, outage)

    def __str__(self) -> str:
        """Return the name and, after an outage, the outage."""
        return f"{self.name}{_WITHOUT}{self.outage}" if self.outage else self.name

    @property
    def phase(self) -> str:
        """The phase in the name, ``"a"`` of ``"bus:4.a"``; empty where it has none."""
        return phase_of(self.name)
