"""Brute force on the boxes of stressed balanced networks, on pandapower's matrices.

What :mod:`freedom_oracle` and :mod:`opendss_vertices` do for other cases.
"""

from __future__ import annotations

import copy

import linear_oracle
import numpy as np
import pandapower as pp
import pytest
import vertex_oracle
from linear_oracle import Limits, LinearOracle, corners, of_pandapower, products
from stressed_networks import StressedCase
from stressed_topologies import ShapedCase, without_loads
from vertex_oracle import VertexOracle


class VertexAttack:
    """Brute force on a case whose customers have power factors."""

    def __init__(self, case: StressedCase) -> None:
        self.case, self.count = case, len(case.net.load)
        self.oracle = VertexOracle(case.net, case.power_factor)
        interface = case.interface
        ends = interface.voltage_min_pu, interface.voltage_max_pu
        self.sources = np.unique(np.linspace(*ends, 3))

    def worst(self, limits_w: np.ndarray) -> vertex_oracle.Worst:
        voltage, interface = self.case.voltage, self.case.interface
        return self.oracle.worst(
            limits_w,
            voltage.minimum_pu,
            voltage.maximum_pu,
            self.sources,
            (interface.injection_limit_w, interface.withdrawal_limit_w),
        )

    def confirm_by_pandapower(self, limits_w: np.ndarray) -> None:
        """Check that pandapower's own power flow has the voltage found at the worst point."""
        worst = self.worst(limits_w)
        if not worst.what.startswith("bus:"):
            return
        net = copy.deepcopy(self.case.net)
        injection, withdrawal = np.split(limits_w, 2)
        power_w = worst.share * (injection + withdrawal) - withdrawal
        factors = np.array([self.case.power_factor[f"load:{k}"] for k in range(self.count)])
        net.load["p_mw"] = -power_w / 1e6
        net.load["q_mvar"] = -power_w / 1e6 * np.tan(np.arccos(factors))
        net.ext_grid["vm_pu"] = worst.source_pu
        bus = int(worst.what.removeprefix("bus:").split()[0])
        # A power flow has two solutions, and from the angles of the DC power flow Newton's method
        # may find the one on the far side of the nose curve (seed 329).
        found = _voltage(net, bus, "dc")
        if found != pytest.approx(worst.value, abs=1e-6):
            found = _voltage(net, bus, "flat")
        assert found == pytest.approx(worst.value, abs=1e-6)


def _voltage(net: pp.pandapowerNet, bus: int, init: str) -> float:
    # Near voltage collapse the Jacobian is almost singular: Newton takes more than 10 steps, and
    # small powers left over are large voltages.
    settings = {"init": init, "max_iteration": 100, "tolerance_mva": 1e-10}
    pp.runpp(net, calculate_voltage_angles=True, **settings)
    return float(net.res_bus.vm_pu[bus])


class ShapeAttack:
    """Brute force on a case of an odd shape.

    A point has c places of active power, and that of the voltage.
    """

    def __init__(self, case: ShapedCase) -> None:
        net = without_loads(case.net)
        self.case, self.base_w = case, float(net.sn_mva) * 1e6
        self.count = len(net.load)
        self.states = of_pandapower(net, net.load.bus.to_numpy())

    def worst(self, limits_w: np.ndarray) -> linear_oracle.Worst:
        contract, voltage = self.case.interface, self.case.voltage
        up, down = np.split(np.asarray(limits_w) / self.base_w, 2)
        low, high = contract.voltage_min_pu, contract.voltage_max_pu
        largest = [
            None if limit is None else limit / self.base_w
            for limit in (contract.injection_limit_w, contract.withdrawal_limit_w)
        ]

        def place(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            power = (at[:, : self.count] * (up + down) - down).T
            held = low + (high - low) * at[:, self.count :].T
            return power * (1.0 + 1j * self.case.ratio[:, None]), held

        limits = Limits(voltage.minimum_pu, voltage.maximum_pu, *largest)
        band = [[0.0], [0.5], [1.0]] if high > low else [[0.0]]
        oracle = LinearOracle(self.states, limits, place)
        return oracle.worst(products(corners(self.count), np.array(band)))
