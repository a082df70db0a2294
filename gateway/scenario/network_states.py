"""The network of a scenario in all its states: complete, after outages, and at other taps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.scenario.customers import with_reactive_choice
from gateway.scenario.element_tables import values_for
from gateway.scenario.network_source import (
    Held,
    build_meshed,
    build_network,
    connection_points_of,
    is_circuit,
    open_circuit,
    open_net,
)
from gateway.scenario.schema import CapacitySection, NetworkSection, Section
from security_check.errors import Fault
from security_check.importers import Net
from security_check.importers.pandapower_taps import tap_positions, with_taps
from security_check.importers.tap_ranges import ranges_of, usual_taps
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.model.network import Network, reactive_ratios
from security_check.model.network_state import NetworkState


@dataclass(frozen=True, slots=True)
class Model:
    """The network that ``[network]`` describes, as far as it could be built.

    Parameters
    ----------
    network
        The network with all elements in service and usual taps; ``None`` if it has faults.
    states
        Further states in which envelopes must hold, too: outages, other positions of taps.
    points
        Connection points, known even if the network has faults; ``None`` if the source has faults.
    net
        The pandapower net that is the source, with the usual taps; ``None`` for an
        OpenDSS circuit.
    """

    network: Network | None
    states: tuple[NetworkState, ...]
    points: tuple[str, ...] | None
    net: Net | None = None

    def changed(
        self, change: Callable[[Network, list[Fault]], Network], faults: list[Fault]
    ) -> Model:
        """Return the model with the network changed in every state.

        Faults that a change has in several states are added once.
        """
        if self.network is None:
            return self
        found: list[Fault] = []
        network = change(self.network, found)
        states = []
        for each in self.states:
            own: list[Fault] = []
            states.append(replace(each, network=change(each.network, own)))
            found += [fault for fault in own if fault not in found]
        faults += found
        return replace(self, network=network, states=tuple(states))


NO_MODEL = Model(None, (), None)


def build_model(
    section: NetworkSection,
    capacity: Section | None,
    held: Held,
    name: str,
    folder: Path,
    faults: list[Fault],
    net: Net | None = None,
) -> Model:
    """Return the network that ``[network]`` describes, after adding every fault.

    Parameters
    ----------
    capacity
        The section ``[capacity]``, for power factors and freely chosen reactive power.
    held
        The voltages at the interface that the contract limits, in networks with phases.
    name, folder
        The network's name for people; the folder of the scenario's file.
    net
        The pandapower net of the source, if it is open already; not modified.
    """
    if section.kind == "linear":
        detail = 'it is "linear", which is for a scenario of one operator'
        faults.append(Fault("network.kind", detail))
        return NO_MODEL
    faults += _faults_of_choice(section)
    model = _opened(section, capacity, held, name, folder, faults, net)
    return model.changed(
        lambda network, found: with_reactive_choice(network, capacity, found), faults
    )


def _faults_of_choice(section: NetworkSection) -> list[Fault]:
    """Return the faults of entries that exclude each other."""
    faults = []
    meshed = section.model == "meshed"
    if meshed and is_circuit(section.source):
        detail = '"meshed" is for pandapower nets; an OpenDSS circuit has no such model'
        faults.append(Fault("network.model", detail))
    if meshed and section.connection_points == "asymmetric_load":
        detail = '"meshed" is for balanced networks; "asymmetric_load" has a node for each phase'
        faults.append(Fault("network.model", detail))
    faults += [
        Fault(f"network.{key}", 'it is given, but network.model is not "meshed"')
        for key in ("distributed_slack", "outages")
        if getattr(section, key) and not meshed
    ]
    faults += _faults_of_kind(section)
    faults += [
        Fault("network.outages", f"it names {name} {section.outages.count(name)} times")
        for name in dict.fromkeys(section.outages)
        if section.outages.count(name) > 1
    ]
    return faults


def _faults_of_kind(section: NetworkSection) -> list[Fault]:
    """Return the faults of entries that the other kind of source has: a net, or a circuit."""
    if not is_circuit(section.source):
        detail = "it is for OpenDSS circuits, but network.source is a pandapower net"
        return [
            Fault(f"network.{key}", detail)
            for key in ("capacitors", "default_rating_a")
            if getattr(section, key) is not None
        ]
    faults = []
    if section.connection_points != "load":
        detail = f'it is "{section.connection_points}", but the loads of a circuit are customers'
        faults.append(Fault("network.connection_points", detail))
    if section.passive != "none":
        detail = (
            'it is "as-given", but all loads of an OpenDSS circuit are connection points, and its '
            "generators and storages are taken out of service"
        )
        faults.append(Fault("network.passive", detail))
    return faults


def _opened(
    section: NetworkSection,
    capacity: Section | None,
    held: Held,
    name: str,
    folder: Path,
    faults: list[Fault],
    net: Net | None,
) -> Model:
    if is_circuit(section.source):
        circuit, states = open_circuit(section, folder, name, faults)
        if circuit is None:
            return NO_MODEL
        points = circuit.connection_points
        ratios, wrong = reactive_ratios(points, _power_factors(capacity, points))
        faults += wrong
        return Model(circuit, states, points).changed(
            lambda network, _: replace(network, reactive_ratio=ratios), faults
        )
    net = open_net(section.source, folder, faults) if net is None else net
    if net is None:
        return NO_MODEL
    return _of_net(net, section, capacity, held, name, faults)


def model_of(
    net: Net,
    section: NetworkSection,
    capacity: Section | None,
    held: Held,
    name: str,
    faults: list[Fault],
) -> Model:
    """Return the network that ``[network]`` describes with another net; as :func:`build_model`.

    The net has its taps already, as actions have set them.
    """
    section = section.model_copy(update={"taps": None})
    model = _of_net(net, section, capacity, held, name, faults)
    return model.changed(
        lambda network, found: with_reactive_choice(network, capacity, found), faults
    )


def _of_net(
    net: Net,
    section: NetworkSection,
    capacity: Section | None,
    held: Held,
    name: str,
    faults: list[Fault],
) -> Model:
    points = connection_points_of(net, section.connection_points)
    power_factor = _power_factors(capacity, points)
    if section.model == "meshed" and section.connection_points != "asymmetric_load":
        network, states = build_meshed(net, section, power_factor, name, faults)
    else:
        network, states = build_network(net, section, held, power_factor, name, faults)
    return Model(network, states, points, _stated(net, section, network))


def _stated(net: Net, section: NetworkSection, network: Network | None) -> Net:
    """Return the net of a network with its usual taps; as given if it has faults."""
    if network is None:
        return net
    given = tap_positions(net, list(ranges_of(section.taps)))
    return with_taps(net, usual_taps(section.taps, given))


def phase_faults(
    network: Network, limits: VoltageLimits | None, contracts: Sequence[InterfaceLimits]
) -> list[Fault]:
    """Return a fault for each unbalance limit of a network without phases."""
    faults = []
    remedy = 'take connection_points = "asymmetric_load" or an OpenDSS circuit'
    if limits is not None and limits.unbalance is not None and not len(network.voltages.triples):
        detail = f"no bus of this network has three phases in the model; {remedy}"
        faults.append(Fault("limits.unbalance", detail))
    if network.held == 1 and any(each.unbalance_pu for each in contracts):
        detail = f"the interface of this network has no phases in the model; {remedy}"
        faults.append(Fault("interface.unbalance_pu", detail))
    return faults


def passive_remedy(network: Network) -> str:
    """Return how to give a network passive elements that may deviate, as a part of a sentence."""
    if network.passive is None:
        return "networks of this kind do not list their passive elements one by one"
    return 'network.passive must be "as-given"'


def _power_factors(capacity: Section | None, points: tuple[str, ...]) -> dict[str, float]:
    """Return the power factor of each connection point; empty if the section has faults."""
    if not isinstance(capacity, CapacitySection):
        return {}
    return dict(zip(points, values_for(capacity.power_factor, points, 1.0), strict=True))
