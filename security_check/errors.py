"""The errors of this package, as one tree.

::

    GridError
    ├── NetworkFaults       the description of a network is wrong; carries every fault at once
    ├── PowerFlowError      an AC power flow found no solution; names the worst node
    ├── InsecureError       the limits asked for cannot be made secure; names the binding element
    └── ProofError          a value exceeds its proved upper bound; names the element

Every error fails closed: the caller publishes no envelope and confirms no trade.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


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
        The element that is over its limit.
    detail
        A sentence with value and limit.
    violation
        By how much the limit is exceeded, in parts of its scale, where that is known.
    """

    def __init__(self, element: str, detail: str, violation: float = float("inf")) -> None:
        self.element = element
        self.detail = detail
        self.violation = violation
        super().__init__(f"{element}: {detail}")


class ProofError(GridError):
    """A proof and the power flow contradict each other, so neither can be relied on."""
