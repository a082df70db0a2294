"""What the linear rows say of joint changes of the limits in force, for those who optimise them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from security_check.network import FloatArray


@dataclass(frozen=True, slots=True)
class LinearRows:
    """Rows ``A x / base_power_w <= headroom`` for changes x of the 2 c limits, in watts.

    Parameters
    ----------
    A
        Shape (r, 2 c), >= 0, injection limits first, per unit of each row's quantity over per
        unit of power.
    headroom
        Shape (r,), unused part of each row, per unit of its quantity; may be below zero by
        rounding.
    base_power_w
        Watts of one per unit of power.
    element
        Returns the name of the element behind a row.
    """

    A: FloatArray
    headroom: FloatArray
    base_power_w: float
    element: Callable[[int], str]
