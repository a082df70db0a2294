"""From the entries of a linear network to the network, or all of its faults."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np

from gateway.formats.linear.entries import MW, LinearBranch, RatedBranch, SetPoint
from security_check.arrays import FloatArray
from security_check.errors import Fault, NetworkFaults
from security_check.model.linear_network import LinearNetwork, ReactiveBranch


def flow_limits_mw(
    name: str,
    rating: float | None,
    least: float | None,
    largest: float | None,
    faults: list[Fault],
) -> tuple[float, float]:
    """Return the least and the largest flow of a branch; zeros after adding a fault."""
    if rating is not None:
        if (least, largest) != (None, None):
            faults.append(Fault(name, "it has a rating and limits of its flow; give one"))
        return -rating, rating
    if least is None or largest is None:
        detail = "it has no limit; give rating_mw, or flow_min_mw and flow_max_mw"
        faults.append(Fault(name, detail))
        return 0.0, 0.0
    return least, largest


def branch_faults(
    buses: Sequence[str], slack_bus: str, branches: Sequence[LinearBranch]
) -> Iterator[Fault]:
    """Yield the faults of factors and reactances that the network itself does not name."""
    factors = any(each.ptdf is not None for each in branches)
    if factors and slack_bus not in buses:
        yield Fault("slack_bus", f"there is no bus {slack_bus}")
    for each in branches:
        if each.ptdf is None and (factors or each.x_pu is None):
            wanted = "ptdf, as other branches have" if factors else "x_pu"
            yield Fault(each.name, f"it has no {wanted}")
        named = {each.start, each.end, *(each.ptdf or ())} if factors else set()
        for bus in sorted(named - set(buses)):
            yield Fault(each.name, f"there is no bus {bus}")
        if own := (each.ptdf or {}).get(slack_bus):
            yield Fault(each.name, f"its factor of the slack bus is {own:g}, it must be 0")


def linear_network(
    buses: Sequence[str],
    slack_bus: str,
    branches: Sequence[LinearBranch],
    limits_mw: FloatArray,
) -> LinearNetwork:
    """Return the network of branches without :func:`branch_faults`.

    Parameters
    ----------
    limits_mw
        Shape (l, 2), the least and the largest flow of each branch.

    Raises
    ------
    NetworkFaults
        As :class:`~security_check.model.linear_network.LinearNetwork`.
    """
    lower_w, upper_w = MW * limits_mw.T
    if any(each.ptdf is not None for each in branches):
        ptdf = [[(each.ptdf or {}).get(bus, 0.0) for bus in buses] for each in branches]
        names = tuple(each.name for each in branches)
        return LinearNetwork(tuple(buses), names, np.array(ptdf), lower_w, upper_w)
    reactive = [
        ReactiveBranch(each.name, each.start, each.end, each.x_pu or 0.0) for each in branches
    ]
    return LinearNetwork.of_reactances(buses, slack_bus, reactive, lower_w, upper_w)


def rated_network(
    buses: Sequence[str], slack_bus: str, branches: Sequence[RatedBranch]
) -> LinearNetwork:
    """Return the network of branches with limits of their flow.

    Raises
    ------
    NetworkFaults
        With every fault of branches, limits and factors.
    """
    faults: list[Fault] = []
    limits_mw = [
        flow_limits_mw(each.name, each.rating_mw, each.flow_min_mw, each.flow_max_mw, faults)
        for each in branches
    ]
    faults += branch_faults(buses, slack_bus, branches)
    if faults:
        raise NetworkFaults(faults)
    return linear_network(buses, slack_bus, branches, np.array(limits_mw))


def set_point_faults(place: str, given: SetPoint, buses: Collection[str]) -> Iterator[Fault]:
    """Yield a fault for each bus of a set point that the network does not have."""
    for bus in sorted(set(given) - set(buses)):
        yield Fault(place, f"there is no bus {bus}")


def set_point_w(given: SetPoint, buses: Sequence[str]) -> FloatArray:
    """Return what does not trade injects at each bus, shape (n,), watts."""
    return np.array([MW * given.get(bus, 0.0) for bus in buses])
