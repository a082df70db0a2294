"""The errors of this package, as one tree.

::

    GridError
    ├── NetworkFaults       the description of a network is wrong; carries every fault at once
    ├── PowerFlowError      an AC power flow found no solution; names the worst node
    ├── InsecureError       the limits asked for cannot be made secure; names the elements
    └── ProofError          a value exceeds its proved upper bound; names the element

Every error fails closed: the caller publishes no envelope and confirms no trade.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

_NAMED = 10  # elements over their limits that a sentence names; further ones are counted


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault in an input: which element, and a sentence with the numbers.

    Parameters
    ----------
    element
        Id of the element at fault, for example ``"line:12"`` or ``"capacity.injection_w"``.
    detail
        A sentence with the value found and the value required.
    """

    element: str
    detail: str

    def __str__(self) -> str:
        """Return ``element: detail``."""
        return f"{self.element}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Violation:
    """An element over its limit.

    Parameters
    ----------
    element
        Its id, for example ``"bus:4"``.
    value, limit, unit
        What it reaches, its limit, and their unit (``"p.u."``, ``"A"``, ``"W"``, ...).
    """

    element: str
    value: float
    limit: float
    unit: str

    def __str__(self) -> str:
        """Return the element with both numbers."""
        whole = self.unit in ("W", "var")
        value, limit = (
            f"{each:,.0f}" if whole else f"{each:.6g}" for each in (self.value, self.limit)
        )
        return f"{self.element} reaches {value} of {limit} {self.unit}"


class GridError(Exception):
    """Base of all errors that this package raises on purpose."""


class NetworkFaults(GridError):  # noqa: N818  # it reports faults, plural; "Error" would hide that
    """A network description has faults; ``faults`` holds all of them."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(str(fault) for fault in self.faults))


class PowerFlowError(GridError):
    """An AC power flow did not converge."""


class InsecureError(GridError):
    """No secure set of envelopes exists under the limits given.

    Parameters
    ----------
    element
        The element that is over its limit; the worst one of several.
    detail
        A sentence with value and limit.
    violation
        By how much the limit is exceeded, in parts of its scale, where that is known.
    violations
        Every element over its limit, the worst first, where all are known.

    Attributes
    ----------
    detail
        The sentence, with the other elements over their limits: the first ``_NAMED``, and a count.
    """

    def __init__(
        self,
        element: str,
        detail: str,
        violation: float = float("inf"),
        violations: Sequence[Violation] = (),
    ) -> None:
        self.element = element
        self.violation = violation
        self.violations = tuple(violations)
        self._sentence = detail
        self.detail = detail + _others(self.violations[1:])
        super().__init__(f"{element}: {self.detail}")

    @classmethod
    def of_all(cls, errors: Sequence[Self]) -> Self:
        """Return the worst of several errors, with the elements of all of them."""
        worst, *others = sorted(errors, key=lambda error: -error.violation)
        every = [each for error in (worst, *others) for each in error.violations]
        return cls(worst.element, worst._sentence, worst.violation, every)


def _others(violations: Sequence[Violation]) -> str:
    """Return a part of a sentence on further elements over their limits; empty without any."""
    if not violations:
        return ""
    named = "; ".join(str(each) for each in violations[: _NAMED - 1])
    left = len(violations) - (_NAMED - 1)
    return f"; also over their limits: {named}" + (f"; and {left} more" if left > 0 else "")


class ProofError(GridError):
    """A proof and the power flow contradict each other, so neither can be relied on."""
