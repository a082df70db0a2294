"""Outages: states of a network after which envelopes must be secure as well (N-1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from security_check.cases import Case, CaseMonitors
from security_check.controlled_flow import ControlledFlow
from security_check.generator_rows import GeneratorRows, MeshedMonitors
from security_check.monitored import Monitored
from security_check.monitors import Monitors
from security_check.network import Network
from security_check.power_flow import PowerFlow


@dataclass(frozen=True, slots=True)
class Outage:
    """One element out of service.

    Parameters
    ----------
    name
        The element, for example ``"line:3"``.
    network
        The network without it; the same customers, ports and held voltages.
    """

    name: str
    network: Network


def monitors_of(network: Network, outages: Sequence[Outage] = ()) -> Monitored:
    """Return what is monitored in a network, and after each outage.

    Parameters
    ----------
    network
        With everything in service.
    outages
        After which everything must hold, too.

    Raises
    ------
    ModuleNotFoundError
        When there are voltage-controlled generators and ``lightsim2grid`` is not installed.
    NetworkFaults
        When an outage's network does not fit the network; names the outage.
    """
    first = _case("", network)
    if not outages and len(first.monitors) == 1:
        return first.monitors[0]
    return CaseMonitors([first, *(_case(outage.name, outage.network) for outage in outages)])


def _case(name: str, network: Network) -> Case:
    if network.generators is None:
        flow = PowerFlow(network)
        return Case(name, flow, (Monitors(flow),))
    controlled = ControlledFlow(network)
    return Case(name, controlled, (MeshedMonitors(controlled), GeneratorRows(controlled)))
