"""The switching and tap actions that a scenario allows, and its network after them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from doe_allocation.reconfiguration.pandapower_switching import SwitchedNet
from gateway.scenario.forecasts import ForecastSeries
from gateway.scenario.network_source import is_circuit, open_net
from gateway.scenario.schema import ActionsSection, NetworkSection
from security_check.errors import Fault, NetworkFaults
from security_check.importers import Net
from security_check.importers.pandapower_taps import tap_faults, with_taps
from security_check.importers.tap_ranges import ranges_of, shown_ranges, usual_taps
from security_check.model.network import Network

NetModel = Callable[[Net, list[Fault]], tuple[Network | None, ForecastSeries | None]]
"""Returns the network and forecasts of a net by a scenario's sections, after adding all faults."""


@dataclass(frozen=True, slots=True)
class Actions:
    """The actions of ``[actions]``.

    Parameters
    ----------
    switched
        The net with its switches and tap changers.
    most_operations, exact_limit, evaluations
        As in the section.
    model_of
        Builds network and forecasts of the net in any configuration.
    """

    switched: SwitchedNet
    most_operations: int | None
    exact_limit: int
    evaluations: int
    model_of: NetModel

    def network(self, net: Net) -> tuple[Network, ForecastSeries]:
        """Return the network and the forecasts in a configuration.

        Raises
        ------
        NetworkFaults
            With every fault of the net in this configuration.
        """
        faults: list[Fault] = []
        network, forecast_series = self.model_of(net, faults)
        if faults:
            raise NetworkFaults(faults)
        assert network is not None
        assert forecast_series is not None
        return network, forecast_series


def build_actions(
    section: ActionsSection,
    network: NetworkSection,
    model_of: NetModel,
    folder: Path,
    faults: list[Fault],
    net: Net | None = None,
) -> Actions | None:
    """Return the actions that are allowed, or ``None`` after adding every fault.

    ``net`` is the pandapower net that the source names, where it is open already.
    """
    if network.model == "meshed" or is_circuit(network.source):
        what = "an OpenDSS circuit" if is_circuit(network.source) else "meshed"
        faults.append(
            Fault("actions", f"actions need a pandapower feeder, but the network is {what}")
        )
        return None
    if not section.switchable and not section.taps:
        faults.append(Fault("actions", "it names no switchable branches and no taps"))
        return None
    if ranges_of(network.taps):
        faults += _range_faults(section, network)
        return None
    if net is None:
        net = open_net(network.source, folder, [])  # its faults have been added already
    if net is None:
        return None
    stated = usual_taps(network.taps, {})
    if tap_faults(net, stated):  # they have been added already, too
        return None
    net = with_taps(net, stated)
    count = len(faults)
    taps = section.taps
    spans = taps if isinstance(taps, Mapping) else dict.fromkeys(taps)
    ranges = {name: None if span is None else (span[0], span[1]) for name, span in spans.items()}
    switched = SwitchedNet(net, section.switchable, ranges, faults)
    if len(faults) > count:
        return None
    return Actions(
        switched, section.most_operations, section.exact_limit, section.evaluations, model_of
    )


def _range_faults(section: ActionsSection, network: NetworkSection) -> list[Fault]:
    """Return the faults of actions in a network with ranges of taps, of which they know nothing."""
    ranges = shown_ranges(network.taps)
    both = [
        Fault(name, f"actions.taps moves its tap, but network.taps has it anywhere in {ends}")
        for name, ends in ranges.items()
        if name in section.taps
    ]
    stated = " and ".join(f"{name} anywhere in {ends}" for name, ends in ranges.items())
    detail = f"actions need a position for each tap, but network.taps has {stated}"
    return both or [Fault("actions", detail)]
