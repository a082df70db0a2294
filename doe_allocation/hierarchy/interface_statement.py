"""The statement of a downstream operator about its interface.

A boundary is one node of two networks: the interface of the downstream one, a connection point of
the upstream one.  Power is counted there, out of the downstream network: losses below are included,
losses above are not.  The downstream operator states a few numbers (:class:`InterfaceStatement`),
the upstream operator answers with a contract
(:class:`~security_check.model.limits.InterfaceLimits`); neither needs the other's network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from doe_allocation.hierarchy.customer_classes import CustomerClass
from security_check.arrays import IntArray
from security_check.errors import Fault
from security_check.model.limits import InterfaceLimits
from security_check.model.network import Network
from security_check.model.network_elements import ReactiveFreedom
from security_check.model.network_state import NetworkState
from security_check.monitoring.row_kinds import OF_INTERFACE, RowKind
from security_check.monitoring.row_limits import RowLimits
from security_check.worst_case.robust_rows import RobustRows
from security_check.worst_case.search import Starts, WorstPointSearch

REACTIVE_MARGIN = 0.02
"""Margin at either end of a computed reactive range, in parts of its width."""

_SMALLEST_MARGIN_VAR = 100  # var; the margin of a very narrow range
_ROUNDING = 1e-6  # parts of a power, and one watt besides: error of search and rounding
_FAR = 1e3  # scales: limits this far below all values make the search work on every row
_SMALLEST_SCALE_W = 1e3  # W; the scale of rows of a network without power


@dataclass(frozen=True, slots=True)
class InterfaceExtremes:
    """The extremes of the power through an interface, over all vertices and voltages.

    Parameters
    ----------
    injection_w, withdrawal_w
        Largest active power out of and into the downstream network; negative where it always flows
        the other way.
    reactive_min_var, reactive_max_var
        Smallest and largest reactive power out of the downstream network.
    """

    injection_w: float
    withdrawal_w: float
    reactive_min_var: float
    reactive_max_var: float


def interface_extremes(
    robust: RobustRows, limits_w: IntArray, starts: Starts | None = None
) -> InterfaceExtremes:
    """Return the extremes of the interface's power over a box of envelopes and the band.

    The search for worst points that checks envelopes finds them, in every state of the network
    (outages), with no other limit.

    Parameters
    ----------
    robust
        The network under any limits; c connection points.
    limits_w
        Shape (2 c,), watts, injection first.
    starts
        Points to climb from; new ones are made where these do not fit.

    Raises
    ------
    PowerFlowError
        When a power flow does not converge.
    """
    monitors = robust.monitors
    base = monitors.power_flow.network.base_power_w
    u = np.asarray(limits_w, dtype=float) / base
    passive = np.abs(robust.conditions.passive_power_pu).sum()
    scale = max(float(u.sum() + passive), _SMALLEST_SCALE_W / base)
    own = np.isin(monitors.kind, OF_INTERFACE)
    limits = RowLimits(
        np.where(own, -_FAR * scale, np.inf),
        np.full(len(own), scale),
        robust.limits.voltage_min_pu,
    )
    interface_rows = RobustRows(replace(robust.problem, limits=limits))
    found = WorstPointSearch(interface_rows, starts).find_new_worst_points(
        interface_rows.no_rows(), u, near=np.inf
    )
    values, kind = interface_rows.values(found, u) * base, monitors.kind[found.rows]
    most = {k: float(values[kind == k].max()) for k in OF_INTERFACE}
    return InterfaceExtremes(
        most[RowKind.INTERFACE_INJECTION],
        most[RowKind.INTERFACE_WITHDRAWAL],
        -most[RowKind.INTERFACE_REACTIVE_MIN],
        most[RowKind.INTERFACE_REACTIVE_MAX],
    )


@dataclass(frozen=True, slots=True)
class InterfaceStatement:
    """The statement of a downstream operator about its interface, from its own network alone.

    It holds for every voltage of the band stated.

    Parameters
    ----------
    band
        The voltage band at its interface, per unit.
    least_injection_w, least_withdrawal_w
        Largest powers with all customers below at the fallback: passive demand, generation,
        losses.  An envelope cannot be smaller.
    most_injection_w, most_withdrawal_w
        Largest powers if the power of the interface were not limited.
    reactive_min_var, reactive_max_var
        Range of its reactive power under any envelope; the child keeps it as a limit.
    idle_injection_w, idle_withdrawal_w
        The two powers with all customers at zero, of either sign; power granted to customers is
        counted from there.
    injection, withdrawal
        Classes of all customers below, for either direction: their weights, and the power that
        they can use, as power through the interface.
    refusal
        Why the child is not secure in the band even with all customers at the fallback: element
        and numbers.  ``None`` where it is secure.
    """

    band: tuple[float, float]
    least_injection_w: int
    least_withdrawal_w: int
    most_injection_w: int
    most_withdrawal_w: int
    reactive_min_var: int
    reactive_max_var: int
    idle_injection_w: float
    idle_withdrawal_w: float
    injection: tuple[CustomerClass, ...]
    withdrawal: tuple[CustomerClass, ...]
    refusal: Fault | None = None

    @property
    def weights(self) -> tuple[float, float]:
        """Total weights of all customers below, for injection and for withdrawal."""
        return sum(each.weight for each in self.injection), sum(
            each.weight for each in self.withdrawal
        )

    def contract(self, injection_w: int, withdrawal_w: int) -> InterfaceLimits:
        """Return the contract that grants an envelope."""
        return InterfaceLimits(
            *self.band,
            injection_w,
            withdrawal_w,
            reactive_min_var=self.reactive_min_var,
            reactive_max_var=self.reactive_max_var,
        )


def limit_covering_w(power_w: float) -> int:
    """Return the smallest limit in whole watts that covers a power, with room for rounding."""
    return max(math.ceil(power_w + _ROUNDING * abs(power_w)) + 1, 0) if power_w > 0.0 else 0


def reactive_range_around(found: InterfaceExtremes) -> tuple[int, int]:
    """Return the reactive range computed, widened by the margin, in whole var."""
    low, high = found.reactive_min_var, found.reactive_max_var
    margin = max(REACTIVE_MARGIN * (high - low), _SMALLEST_MARGIN_VAR)
    return math.floor(low - margin), math.ceil(high + margin)


def with_reactive_ranges(network: Network, ranges: dict[str, tuple[int, int]]) -> Network:
    """Return the network whose connection points named have reactive power anywhere in a range.

    The range does not depend on their active power and replaces their power factor.

    Parameters
    ----------
    network
        Of the upstream operator.
    ranges
        Smallest and largest reactive power out of the network downstream, var, by connection point.
    """
    count = len(network.connection_points)
    given = network.reactive_freedom or ReactiveFreedom(*np.zeros((3, count)))
    ratio, cone = network.reactive_ratio.copy(), given.cone.copy()
    middle, half = given.middle.copy(), given.half.copy()
    for point, (low, high) in ranges.items():
        k = network.connection_points.index(point)
        ratio[k] = cone[k] = 0.0
        middle[k] = 0.5 * (high + low) / network.base_power_w
        half[k] = 0.5 * (high - low) / network.base_power_w
    freedom = ReactiveFreedom(cone, middle, half)
    return replace(network, reactive_ratio=ratio, reactive_freedom=freedom)


def states_with_reactive_ranges(
    states: tuple[NetworkState, ...], ranges: dict[str, tuple[int, int]]
) -> tuple[NetworkState, ...]:
    """Return the states, each network as :func:`with_reactive_ranges` has it."""
    return tuple(
        NetworkState(each.state, with_reactive_ranges(each.network, ranges)) for each in states
    )
