"""What OpenDSS itself finds for a circuit whose customers have given powers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import opendssdirect as dss

from security_check.model.network import Network


def solve_circuit(
    master: Path, network: Network, power_w: np.ndarray, *commands: str, source_pu: float = 1.0
) -> None:
    """Give the customers powers, injection positive and constant, and let OpenDSS solve.

    ``commands`` come after those of the file, for example taps.
    """
    dss.Basic.AllowChangeDir(False)
    dss.Text.Command("clear")
    dss.Text.Command(f'compile "{master}"')
    for source in dss.Vsources.AllNames():
        dss.Text.Command(f"vsource.{source}.pu={source_pu!r}")
    for k, point in enumerate(network.connection_points):
        load = f"load.{point.removeprefix('load:')}"
        kw = float(-power_w[k] / 1e3)
        for key, value in (("model", 1), ("vminpu", 0.1), ("vmaxpu", 3.0), ("kw", kw)):
            dss.Text.Command(f"{load}.{key}={value!r}")
        dss.Text.Command(f"{load}.kvar={kw * float(network.reactive_ratio[k])!r}")
    last = ("set controlmode=off", "set tolerance=1e-11", "set maxiterations=500", "solve")
    for command in (*commands, *last):
        dss.Text.Command(command)
    assert dss.Solution.Converged()


def circuit_voltages() -> dict[str, complex]:
    """Return the voltage of each node of the solved circuit to ground, per unit."""
    flat = np.array(dss.Circuit.AllBusVolts())
    volts = flat[0::2] + 1j * flat[1::2]
    found = {}
    for name, value in zip(dss.Circuit.AllNodeNames(), volts, strict=True):
        dss.Circuit.SetActiveBus(name.split(".")[0])
        found[f"bus:{name.lower()}"] = complex(value / (1e3 * dss.Bus.kVBase()))
    return found


def circuit_current(element: str, side: str, node: str) -> float:
    """Return the current into an element of the solved circuit at a node of its end, A.

    At the second end of an autotransformer OpenDSS reports that of both windings that meet there
    at its first conductors, and that of the series winding alone at the first end's last ones.
    """
    dss.Circuit.SetActiveElement(element)
    count = int(dss.CktElement.NumConductors())
    flat = np.array(dss.CktElement.Currents())
    current = flat[0::2] + 1j * flat[1::2]
    numbers = dss.CktElement.NodeOrder()
    own = range((int(side) - 1) * count, int(side) * count)
    if element.lower().startswith("autotrans") and side in ("1", "2"):
        own = own[: count // 2]
    return float(abs(sum(current[k] for k in own if numbers[k] == int(node))))


def element_of(terminal: str) -> tuple[str, str]:
    """Return the OpenDSS name of the element of a monitored terminal, and its node number."""
    name, node = terminal.rsplit(".", 1)
    kind, _, own = name.partition(":")
    return f"{'transformer' if kind == 'trafo' else kind}.{own}", node
