"""The network of a scenario in all its states: everything in service, and after each outage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.scenario.customers import with_reactive_choice
from gateway.scenario.network_source import (
    Held,
    build_meshed,
    build_network,
    connection_points_of,
    open_circuit,
    open_net,
)
from gateway.scenario.schema import CapacitySection, NetworkSection, Section
from security_check.errors import Fault
from security_check.importers import Net
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.model.network import Network, reactive_ratios
from security_check.model.outage import Outage


@dataclass(frozen=True, slots=True)
class Model:
    """What ``[network]`` leads to, as far as it could be built.

    Parameters
    ----------
    network
        With everything in service; ``None`` where it has faults.
    outages
        After each of which envelopes must hold, too.
    points
        Its connection points, also where the network has faults; ``None`` where there are none.
    net
        The pandapower net it was built from; ``None`` where it was none.
    """

    network: Network | None
    outages: tuple[Outage, ...]
    points: tuple[str, ...] | None
    net: Net | None = None

    def changed(
        self, change: Callable[[Network, list[Fault]], Network], faults: list[Fault]
    ) -> Model:
        """Return the model with a change of the network in every state.

        What is wrong is so in all of them, and added to the faults once.
        """
        if self.network is None:
            return self
        network = change(self.network, faults)
        outages = (replace(each, network=change(each.network, [])) for each in self.outages)
        return replace(self, network=network, outages=tuple(outages))


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
    """Return what ``[network]`` leads to, after adding every fault.

    Parameters
    ----------
    capacity
        The section, for power factors and freely chosen reactive power.
    held
        What the contract is about in networks with phases.
    name, folder
        For people; where the scenario's file is.
    net
        The pandapower net that the source names, where it is open already; not modified.
    """
    faults += _faults_of_choice(section)
    model = _opened(section, capacity, held, name, folder, faults, net)
    return model.changed(
        lambda network, found: with_reactive_choice(network, capacity, found), faults
    )


def _faults_of_choice(section: NetworkSection) -> list[Fault]:
    """Return what of the section does not go with its model."""
    faults = []
    meshed = section.model == "meshed"
    if meshed and section.source.endswith(".dss"):
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
    faults += [
        Fault("network.outages", f"it names {name} {section.outages.count(name)} times")
        for name in dict.fromkeys(section.outages)
        if section.outages.count(name) > 1
    ]
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
    if section.source.endswith(".dss"):
        circuit = open_circuit(section.source, folder, name, faults)
        if circuit is None:
            return NO_MODEL
        points = circuit.connection_points
        ratios, wrong = reactive_ratios(points, _power_factors(capacity, points))
        faults += wrong
        return Model(replace(circuit, reactive_ratio=ratios), (), points)
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
    """Return what ``[network]`` would lead to with another net; as :func:`build_model`."""
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
        return Model(*build_meshed(net, section, power_factor, name, faults), points, net)
    network = build_network(
        net, section.connection_points, section.passive, held, power_factor, name, faults
    )
    return Model(network, (), points, net)


def phase_faults(
    network: Network, limits: VoltageLimits | None, contracts: Sequence[InterfaceLimits]
) -> list[Fault]:
    """Return what is asked of phases that this network does not have."""
    faults = []
    remedy = 'take connection_points = "asymmetric_load" or an OpenDSS circuit'
    if limits is not None and limits.unbalance is not None and not len(network.voltages.triples):
        detail = f"no bus of this network has its three phases modelled; {remedy}"
        faults.append(Fault("limits.unbalance", detail))
    if network.held == 1 and any(each.unbalance_pu for each in contracts):
        detail = f"the phases of this network's interface are not held one by one; {remedy}"
        faults.append(Fault("interface.unbalance_pu", detail))
    return faults


def _power_factors(capacity: Section | None, points: tuple[str, ...]) -> dict[str, float]:
    """Return each connection point's; faults in the table are found with the capacities."""
    if not isinstance(capacity, CapacitySection):
        return {}
    table = capacity.power_factor
    return {p: table.get(p, table.get("default", 1.0)) for p in points}
