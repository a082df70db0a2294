"""Networks whose connection points choose reactive power freely.

A connection point's reactive power q has three parts, each on top of the one before:

- a fixed power factor, ``q = ratio p`` (:func:`~security_check.model.network.reactive_ratios`);
- a power-factor cone: any q within ``tan(phi) |p|`` of that, for a stated ``cos(phi)``;
- a range: any further q from a smallest to a largest, in var.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

import numpy as np

from security_check.errors import Fault, NetworkFaults
from security_check.model.network import Network
from security_check.model.network_elements import ReactiveFreedom

RangeVar = tuple[float, float]
"""Smallest and largest reactive power, var, injection positive."""

T = TypeVar("T")


def with_reactive_freedom(
    network: Network,
    *,
    cone_power_factor: float | Mapping[str, float] = 1.0,
    range_var: RangeVar | Mapping[str, RangeVar] = (0.0, 0.0),
) -> Network:
    """Return the network with reactive power that its connection points choose freely.

    Parameters
    ----------
    network
        The network, with its connection points' fixed power factors.
    cone_power_factor
        Of all connection points, or per id (1.0 where not named), in (0, 1]: reactive power may
        be off the fixed power factor's by up to ``tan(acos(cone_power_factor)) |p|``.  With a
        fixed power factor of 1, any power factor down to this one, lagging or leading.
    range_var
        Smallest and largest reactive power in var, injection positive, on top of all that; of
        all connection points, or per id (none where not named).

    Raises
    ------
    NetworkFaults
        With every invalid number and every id that is not a connection point.
    """
    ids = network.connection_points
    factor = _per_point(cone_power_factor, ids)
    limits = _per_point(range_var, ids)
    faults = _strangers(factor, ids, "cone power factor") + _strangers(limits, ids, "var range")
    faults += [
        Fault(i, f"its cone power factor is {factor[i]}; it must be above 0 and at most 1")
        for i in ids
        if not 0.0 < factor.get(i, 1.0) <= 1.0
    ]
    for i in ids:
        low, high = limits.get(i, (0.0, 0.0))
        if not -math.inf < low <= high < math.inf:
            faults.append(
                Fault(
                    i,
                    f"its reactive power is from {low:g} to {high:g} var; "
                    f"the first must not exceed the second, and both must be finite",
                )
            )
    if faults:
        raise NetworkFaults(faults)
    low, high = np.array([limits.get(i, (0.0, 0.0)) for i in ids]).T / network.base_power_w
    cone = np.array([math.tan(math.acos(factor.get(i, 1.0))) for i in ids])
    freedom = ReactiveFreedom(cone, 0.5 * (high + low), 0.5 * (high - low))
    return replace(network, reactive_freedom=freedom)


def _per_point(given: T | Mapping[str, T], ids: tuple[str, ...]) -> Mapping[str, T]:
    return given if isinstance(given, Mapping) else dict.fromkeys(ids, given)


def _strangers(given: Mapping[str, object], ids: tuple[str, ...], what: str) -> list[Fault]:
    known = set(ids)
    return [
        Fault(i, f"a {what} is given, but there is no such connection point")
        for i in given
        if i not in known
    ]
