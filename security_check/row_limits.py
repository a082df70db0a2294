"""The limits of all monitored rows in one interval, and what they are measured against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from security_check.limits import InterfaceLimits, VoltageLimits
from security_check.network import FloatArray, Network
from security_check.rows import SIGN, Kind, RowTable

_SMALLEST_VOLTAGE_WAY = 0.01  # per unit; a limit at nominal voltage itself has no way to it


@dataclass(frozen=True, slots=True)
class RowLimits:
    """Limits of all rows for one interval.

    Parameters
    ----------
    limit
        Shape (R,), per unit; ``inf`` where the contract sets none.
    scale
        Shape (R,), what violations and headroom are measured against: the limit, or for
        voltages the way from nominal (1 p.u.) to the limit.
    voltage_min_pu
        The lowest voltage any node may have: what currents are bounded with.
    """

    limit: FloatArray
    scale: FloatArray
    voltage_min_pu: float


def row_limits(
    network: Network, rows: RowTable, voltage: VoltageLimits, interface: InterfaceLimits
) -> RowLimits:
    """Return the limits of all rows under a voltage band for buses and a contract.

    Raises
    ------
    ValueError
        When voltage unbalance is limited but no bus has three phases.
    """
    terminals, base = network.terminals, network.base_power_w
    buses = len(network.voltages.elements)
    if voltage.unbalance is not None and not len(network.voltages.triples):
        raise ValueError(
            f"voltage unbalance is limited to {voltage.unbalance:g}, but no bus of this "
            f"network has its three phases modelled"
        )
    contract = [
        np.inf if limit is None else limit / base
        for limit in (interface.injection_limit_w, interface.withdrawal_limit_w)
    ]
    unbalance = np.inf if voltage.unbalance is None else voltage.unbalance
    limit = np.concatenate(
        [
            np.full(buses, voltage.maximum_pu),
            np.full(buses, -voltage.minimum_pu),
            terminals.rating_pu,
            terminals.rating_pu,
            contract,
            terminals.rating_pu[rows.further],
            np.full(int((rows.kind == Kind.UNBALANCE).sum()), unbalance),
        ]
    )
    voltage_way = np.maximum(np.abs(limit - SIGN[rows.kind]), _SMALLEST_VOLTAGE_WAY)
    scale = np.where(rows.kind <= Kind.VOLTAGE_MIN, voltage_way, np.abs(limit))
    of_interface = np.isin(rows.kind, (Kind.INTERFACE_INJECTION, Kind.INTERFACE_WITHDRAWAL))
    smallest_power_w = 1e3  # an interface limit of zero is measured against one kilowatt
    scale = np.maximum(scale, np.where(of_interface, smallest_power_w / base, 0.0))
    return RowLimits(limit, scale, voltage.minimum_pu)
