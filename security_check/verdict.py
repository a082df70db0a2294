"""The words in which the security check is asked and answers."""

from __future__ import annotations

from dataclasses import dataclass

from security_check.envelope import Direction
from security_check.situation import Situation


@dataclass(frozen=True, slots=True)
class LimitChange:
    """A change of one limit of one connection point, in watts; negative lowers it."""

    connection_point: str
    direction: Direction
    change_w: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to "would the network carry this?", for a whole set of envelopes.

    Parameters
    ----------
    secure
        Whether the AC power flow confirms every monitored element at its worst vertex.
    element
        The element nearest its limit, for example ``"line:12"``.
    value, limit, unit
        Its worst value, its limit, and their unit (``"p.u."``, ``"A"``, ``"W"``).
    loading
        How full it is: 1.0 is exactly at the limit.  For a voltage, the part of the way from
        nominal (1 p.u.) to the limit.
    circumstances
        What everyone does at that worst vertex, in words.
    """

    secure: bool
    element: str
    value: float
    limit: float
    unit: str
    loading: float
    circumstances: str = ""

    def __str__(self) -> str:
        """Return one sentence that names the element, the numbers and the worst case."""
        word = "secure" if self.secure else "not secure"
        return (
            f"{word}: {self.worst_case}" if self.element else f"{word}: nothing is near its limit"
        )

    @property
    def worst_case(self) -> str:
        """What the element reaches, of what limit, and when."""
        when = f" with {self.circumstances}" if self.circumstances else ""
        return (
            f"{self.element} reaches {self.value:.6g} {self.unit} "
            f"of {self.limit:.6g} {self.unit} ({100 * self.loading:.2f} %){when}"
        )


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why an element keeps limits from being larger.

    Parameters
    ----------
    verdict
        What it reaches at its worst vertex, of what limit.
    situation
        That vertex: what every connection point does there, at which interface voltage.
    row, value_pu
        The monitors' row, and its value there, per unit.
    proof
        What is proved of it, in words; empty where nobody has asked.
    """

    verdict: Verdict
    situation: Situation
    row: int
    value_pu: float
    proof: str = ""
