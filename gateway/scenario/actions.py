"""What a scenario lets the operator switch and tap, and its network after that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from doe_allocation.reconfiguration.pandapower_switching import SwitchedNet
from gateway.scenario.forecasts import ForecastSeries
from gateway.scenario.network_source import open_net
from gateway.scenario.schema import ActionsSection, NetworkSection
from security_check.errors import Fault, NetworkFaults
from security_check.importers import Net
from security_check.model.network import Network

Modelled = Callable[[Net, list[Fault]], tuple[Network | None, ForecastSeries | None]]
"""Returns what a scenario makes of a net, after adding all its faults."""


@dataclass(frozen=True, slots=True)
class Actions:
    """What ``[actions]`` leads to.

    Parameters
    ----------
    switched
        The net, its switches and tap changers.
    most_operations, exact_limit, evaluations
        As in the section.
    modelled
        What the scenario makes of the net in any configuration.
    """

    switched: SwitchedNet
    most_operations: int | None
    exact_limit: int
    evaluations: int
    modelled: Modelled

    def network(self, net: Net) -> tuple[Network, ForecastSeries]:
        """Return network and outlook in a configuration.

        Raises
        ------
        NetworkFaults
            With everything that is wrong with the net in this configuration.
        """
        faults: list[Fault] = []
        network, forecast_series = self.modelled(net, faults)
        if faults:
            raise NetworkFaults(faults)
        assert network is not None
        assert forecast_series is not None
        return network, forecast_series


def build_actions(
    section: ActionsSection,
    network: NetworkSection,
    modelled: Modelled,
    folder: Path,
    faults: list[Fault],
) -> Actions | None:
    """Return what may be done, or ``None`` after adding every fault."""
    if network.model == "meshed" or network.source.endswith(".dss"):
        what = "an OpenDSS circuit" if network.source.endswith(".dss") else 'model = "meshed"'
        faults.append(
            Fault("actions", f"{what} has no switches and taps here; only pandapower feeders have")
        )
        return None
    if not section.switchable and not section.taps:
        faults.append(Fault("actions", "it names neither switchable branches nor taps"))
        return None
    net = open_net(network.source, folder, [])  # what is wrong with it is a fault already
    if net is None:
        return None
    count = len(faults)
    taps = section.taps
    spans = taps if isinstance(taps, Mapping) else dict.fromkeys(taps)
    ranges = {name: None if span is None else (span[0], span[1]) for name, span in spans.items()}
    switched = SwitchedNet(net, section.switchable, ranges, faults)
    if len(faults) > count:
        return None
    return Actions(
        switched, section.most_operations, section.exact_limit, section.evaluations, modelled
    )
