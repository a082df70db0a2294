"""The limits of all monitored rows in one interval, and the scales of violations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from security_check.arrays import FloatArray
from security_check.model.element_ids import without_phase
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.model.network import Network
from security_check.monitoring.row_kinds import OF_INTERFACE, SIGN, RowKind, RowTable

_SMALLEST_VOLTAGE_WAY = 0.01  # per unit: the scale of a limit at, or near, nominal voltage


@dataclass(frozen=True, slots=True)
class RowLimits:
    """Limits of all rows for one interval.

    Parameters
    ----------
    limit
        Shape (R,), per unit; ``inf`` where the contract sets none.
    scale
        Shape (R,), the scale of violations and headroom: the limit, or for voltages the way from
        nominal (1 p.u.) to the limit.
    voltage_min_pu
        The lowest voltage any node may have; currents are bounded with it.
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
        When voltage unbalance is limited but no bus has three phases, or a bus with a band of its
        own is unknown, or its band does not overlap with the network's.
    """
    terminals, base = network.terminals, network.base_power_w
    if voltage.unbalance is not None and not len(network.voltages.triples):
        raise ValueError(
            f"voltage unbalance is limited to {voltage.unbalance:g}, but no bus of this "
            f"network has its three phases modelled"
        )
    smallest_var = interface.reactive_min_var
    contract = [
        np.inf if limit is None else limit / base
        for limit in (
            interface.injection_limit_w,
            interface.withdrawal_limit_w,
            interface.reactive_max_var,
            None if smallest_var is None else -smallest_var,
        )
    ]
    lowest, highest = _bands(network, voltage)
    unbalance = np.inf if voltage.unbalance is None else voltage.unbalance
    limit = np.concatenate(
        [
            highest,
            -lowest,
            terminals.rating_pu,
            terminals.rating_pu,
            contract,
            terminals.rating_pu[rows.further],
            np.full(int((rows.kind == RowKind.UNBALANCE).sum()), unbalance),
        ]
    )
    voltage_way = np.maximum(np.abs(limit - SIGN[rows.kind]), _SMALLEST_VOLTAGE_WAY)
    scale = np.where(rows.kind <= RowKind.VOLTAGE_MIN, voltage_way, np.abs(limit))
    of_interface = np.isin(rows.kind, OF_INTERFACE)
    smallest_power_w = 1e3  # the scale of an interface limit of zero
    scale = np.maximum(scale, np.where(of_interface, smallest_power_w / base, 0.0))
    return RowLimits(limit, scale, voltage.minimum_pu)


def _bands(network: Network, voltage: VoltageLimits) -> tuple[FloatArray, FloatArray]:
    """Return the lowest and the highest of each limited voltage, narrowed at single buses."""
    elements = network.voltages.elements
    lowest = np.full(len(elements), voltage.minimum_pu)
    highest = np.full(len(elements), voltage.maximum_pu)
    places: dict[str, list[int]] = {}
    for k, element in enumerate(elements if voltage.buses else ()):
        for name in {element, without_phase(element)}:
            places.setdefault(name, []).append(k)
    for band in voltage.buses:
        if band.bus not in places:
            raise ValueError(
                f"{band.bus} has a voltage band of its own, {band.minimum_pu:g} to "
                f"{band.maximum_pu:g} p.u., but is not a bus of {network.name} with limited voltage"
            )
        at = places[band.bus]
        lowest[at] = np.maximum(lowest[at], band.minimum_pu)
        highest[at] = np.minimum(highest[at], band.maximum_pu)
        if (lowest[at] > highest[at]).any():
            raise ValueError(
                f"{band.bus} has a voltage band of its own, {band.minimum_pu:g} to "
                f"{band.maximum_pu:g} p.u., that does not overlap with the other limits there, "
                f"{voltage.minimum_pu:g} to {voltage.maximum_pu:g} p.u."
            )
    return lowest, highest
