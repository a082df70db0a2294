"""Networks with inverters that respond to their voltage: volt-var and volt-watt curves.

An inverter of rating S with the voltage v at its terminals adds the reactive power ``S a(v)``, and
injects at most the active power ``S b(v)``, and at most what its rating leaves beside the reactive
power, which has priority.  Below this cap, and for withdrawals, it follows the request.  The curves
a and b are piecewise linear, and constant beyond their ends.

Reactive power is positive when injected (the inverter then raises the voltage), as everywhere
here; tables of standards call that "supplying" or "over-excited".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from security_check.arrays import IndexArray
from security_check.errors import Fault, NetworkFaults
from security_check.model.inverter_response import Inverters, Segments
from security_check.model.network import Network, selection
from security_check.model.network_elements import Ports
from security_check.power_flow.implicit_zbus import PowerFlow

_NOMINAL_V = 230.0  # volts: the base of the curves of AS/NZS 4777.2
_PHASE_TO_PHASE = 1.4  # per unit, between 1 and sqrt(3): a higher voltage is between two phases


@dataclass(frozen=True, slots=True)
class Curve:
    """A piecewise linear function of the voltage, constant beyond its ends.

    Parameters
    ----------
    voltage_pu
        Voltages of its corners, ascending, per unit of the nominal voltage.
    value
        Its values there, in parts of the rating.
    """

    voltage_pu: tuple[float, ...]
    value: tuple[float, ...]

    def faults(self) -> list[str]:
        """Return its faults, as sentences."""
        found = []
        if len(self.voltage_pu) != len(self.value) or not self.voltage_pu:
            found.append(
                f"a curve has {len(self.voltage_pu)} voltages and {len(self.value)} values; "
                f"it needs the same number of both, at least one"
            )
        if not np.isfinite([*self.voltage_pu, *self.value]).all():
            found.append("a curve has numbers that are not finite")
        elif (np.diff(self.voltage_pu) <= 0.0).any():
            found.append(f"the voltages {list(self.voltage_pu)} of a curve do not ascend")
        return found


@dataclass(frozen=True, slots=True)
class Response:
    """The curves by which an inverter responds to its voltage.

    Parameters
    ----------
    volt_var
        Reactive power it adds, in parts of its rating, injection positive: within [-1, 1].
    volt_watt
        Largest active power that it injects, in parts of its rating: within [0, 1].
    """

    volt_var: Curve | None = None
    volt_watt: Curve | None = None

    def faults(self) -> list[str]:
        """Return its faults, as sentences."""
        found = []
        for curve, low, name in (
            (self.volt_var, -1.0, "volt-var"),
            (self.volt_watt, 0.0, "volt-watt"),
        ):
            if curve is None:
                continue
            found += curve.faults()
            if not all(low <= value <= 1.0 for value in curve.value):
                found.append(f"its {name} curve goes beyond {low:g} to 1 of the rating")
        return found


def _volts(*volts: float) -> tuple[float, ...]:
    return tuple(volt / _NOMINAL_V for volt in volts)


AS4777_AUSTRALIA_A = Response(
    Curve(_volts(207.0, 220.0, 240.0, 258.0), (0.44, 0.0, 0.0, -0.60)),
    Curve(_volts(253.0, 260.0), (1.0, 0.20)),
)
"""AS/NZS 4777.2:2020, region Australia A, defaults of the volt-var and the volt-watt response."""

_IEEE1547_VOLT_WATT = Curve((1.06, 1.10), (1.0, 0.20))

IEEE1547_CATEGORY_A = Response(Curve((0.90, 1.0, 1.10), (0.25, 0.0, -0.25)), _IEEE1547_VOLT_WATT)
"""IEEE Std 1547-2018, category A: default volt-var (table 8) and volt-watt (table 10) settings."""

IEEE1547_CATEGORY_B = Response(
    Curve((0.92, 0.98, 1.02, 1.08), (0.44, 0.0, 0.0, -0.44)), _IEEE1547_VOLT_WATT
)
"""IEEE Std 1547-2018, category B: default volt-var (table 8) and volt-watt (table 10) settings."""


@dataclass(frozen=True, slots=True)
class Inverter:
    """One connection point's inverter: its response and its rating in VA."""

    response: Response
    rating_va: float


def with_inverters(network: Network, inverters: Mapping[str, Inverter]) -> Network:
    """Return the network with inverters at some of its connection points.

    Each inverter gets ports of its own, which separate its power from that of other customers at
    its bus.  On several phases, each phase responds to its own voltage with its share.

    Parameters
    ----------
    network
        The network; none of its connection points has an inverter yet.
    inverters
        Inverters by connection point.

    Raises
    ------
    NetworkFaults
        With every fault of a curve or a rating, and every id that is not a connection point.
    """
    faults = _faults(network, inverters)
    if faults:
        raise NetworkFaults(faults)
    if not inverters:
        return network
    index = {point: i for i, point in enumerate(network.connection_points)}
    chosen = np.array(sorted(index[point] for point in inverters), dtype=np.int64)
    shares = sp.csc_array(network.port_shares[:, chosen]).tocoo()
    split, own = _split(network, chosen, shares)
    fitted = [inverters[network.connection_points[i]] for i in chosen[shares.coords[1]]]
    rating = np.array([inverter.rating_va for inverter in fitted]) / network.base_power_w
    no_load = PowerFlow(split).no_load_voltage(np.ones((network.held, 1)))[own, 0]
    nominal = np.where(np.abs(no_load) > _PHASE_TO_PHASE, np.sqrt(3.0), 1.0)
    no_var, no_cap = Curve((1.0,), (0.0,)), Curve((1.0,), (1.0,))
    return replace(
        split,
        inverters=Inverters(
            own,
            rating * shares.data,
            nominal,
            _segments([i.response.volt_var or no_var for i in fitted]),
            _segments([i.response.volt_watt or no_cap for i in fitted]),
        ),
    )


def _faults(network: Network, inverters: Mapping[str, Inverter]) -> list[Fault]:
    """Return the faults of the inverters, and why this network cannot have them."""
    known = set(network.connection_points)
    faults = [
        Fault(point, "an inverter is given, but there is no such connection point")
        for point in inverters
        if point not in known
    ]
    for point, inverter in inverters.items():
        if not 0.0 < inverter.rating_va < np.inf:
            faults.append(
                Fault(point, f"its inverter's rating is {inverter.rating_va:g} VA, not above 0")
            )
        faults += [Fault(point, sentence) for sentence in inverter.response.faults()]
    if network.inverters is not None and inverters:
        faults.append(
            Fault(
                "network",
                f"it has inverters already, at {len(network.inverters.ports)} ports; all that "
                f"respond to their voltage must be given at once",
            )
        )
    if network.ports.compensation is not None:
        faults.append(
            Fault(
                "network",
                "its impedances have tolerances, so it cannot have inverters that "
                "respond to their voltage",
            )
        )
    if network.generators is not None and inverters:
        faults.append(
            Fault(
                "network",
                "it has voltage-controlled generators, so it cannot have inverters that "
                "respond to their voltage",
            )
        )
    return faults


def _split(
    network: Network, chosen: IndexArray, shares: sp.coo_array
) -> tuple[Network, IndexArray]:
    """Return the network with own ports for the connection points chosen, and these ports.

    Ports that are not used any more are left out.
    """
    ports, count = network.ports, network.port_shares.shape[0]
    others = network.port_shares.toarray()
    others[:, chosen] = 0.0
    in_use = others.any(axis=1) | (ports.passive_power_pu != 0.0)
    if network.passive is not None:
        in_use |= np.asarray(network.passive.port_shares.sum(axis=1)).ravel() > 0.0
    used = np.flatnonzero(in_use)
    at, owner = shares.coords
    own = len(used) + np.arange(len(at))
    added = np.zeros((len(at), others.shape[1]))
    added[np.arange(len(at)), chosen[owner]] = shares.data
    kept = np.concatenate([used, at.astype(np.int64)])
    passive = np.zeros(len(kept), dtype=np.complex128)
    passive[: len(used)] = ports.passive_power_pu[used]
    split = Ports(
        tuple(ports.names[j] for j in kept),
        sp.csr_array(ports.incidence @ selection(kept, count).T),
        passive,
    )
    passive_elements = network.passive
    if passive_elements is not None:
        theirs = passive_elements.port_shares[used]
        none = sp.csr_array((len(at), theirs.shape[1]))
        passive_elements = replace(
            passive_elements, port_shares=sp.csr_array(sp.vstack([theirs, none]))
        )
    shared = sp.csr_array(np.concatenate([others[used], added]))
    return replace(network, ports=split, port_shares=shared, passive=passive_elements), own


def _segments(curves: Sequence[Curve]) -> Segments:
    """Return the curves as segments; shorter curves get constant segments."""
    count = max(len(curve.value) - 1 for curve in curves)
    begin, rise = np.zeros((count, len(curves))), np.zeros((count, len(curves)))
    width = np.ones((count, len(curves)))
    for k, curve in enumerate(curves):
        own = len(curve.value) - 1
        begin[:own, k] = curve.voltage_pu[:-1]
        width[:own, k] = np.diff(curve.voltage_pu)
        rise[:own, k] = np.diff(curve.value)
    return Segments(np.array([curve.value[0] for curve in curves]), begin, width, rise)
