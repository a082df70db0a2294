"""Points and verdicts in words: nothing that is off is left out, no percentages of voltages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from meshed_networks import ring
from networks import simbench_network
from phase_networks import four_wires, phase_net

from security_check.checking.verdict import Verdict
from security_check.importers.opendss import network_from_opendss
from security_check.importers.pandapower_meshed import meshed_network_from_pandapower
from security_check.importers.pandapower_phases import phases_from_pandapower
from security_check.model.islands import islands_of
from security_check.operating_range.operating_point import OperatingPoint


def operating_point(**changes: Any) -> OperatingPoint:
    given: dict[str, Any] = {
        "power_w": np.array([3_000.0, -1_000.0, 0.0]),
        "reactive_var": np.zeros(3),
        "source_pu": np.array([0.98]),
        "deviation": np.zeros(0),
    }
    return OperatingPoint(**{**given, **changes})


def test_who_does_what_at_which_voltage() -> None:
    assert str(operating_point()) == (
        "1 of 3 connection points injecting, 1 withdrawing and 0.98 p.u. at the interface"
    )
    assert "1.02 / 1 / 1.01 p.u." in str(operating_point(source_pu=np.array([1.02, 1.0, 1.01])))


def test_reactive_power_is_reported_where_there_is_some() -> None:
    reported = str(operating_point(reactive_var=np.array([-1_250.0, 0.0, 400.0])))
    assert "1 withdrawing, -1.25 to +0.4 kvar at each and 0.98" in reported
    assert "withdrawing, -2 kvar at each and" in str(operating_point(reactive_var=np.full(3, -2e3)))


def test_what_is_off_is_named_or_counted() -> None:
    few = operating_point(deviation=np.array([-1.0, 0.0, 0.5]), deviating=("sgen:1", "a", "line:2"))
    assert "withdrawing, sgen:1 off by -1, line:2 off by +0.5 and" in str(few)
    many = operating_point(deviation=np.array([-1.0, 1, 1, 1, 0]), deviating=tuple("abcde"))
    assert "4 of 5 uncertain elements off (3 upwards)" in str(many)
    assert "off" not in str(operating_point(deviation=np.zeros(2), deviating=("a", "b")))


@pytest.mark.parametrize(
    ("value", "limit", "unit", "words"),
    [
        (0.9501, 0.95, "p.u.", "x reaches 0.9501 p.u. (limit 0.95 p.u.)"),
        (1.9, 2.0, "% unbalance", "x reaches 1.9 % unbalance (limit 2 % unbalance)"),
        (135.0, 270.0, "A", "x reaches 135 A of 270 A (50.00 %)"),
        (30e6, 25e6, "W", "x reaches 30,000,000 W of 25,000,000 W (120.00 %)"),
        (-30e6, -25e6, "var", "x reaches -30,000,000 var of -25,000,000 var (120.00 %)"),
        (-30e6, 25e6, "var", "x reaches -30,000,000 var (limit 25,000,000 var)"),
        (500.0, 0.0, "W", "x reaches 500 W (limit 0 W)"),
    ],
)
def test_only_currents_and_powers_have_percentages(
    value: float, limit: float, unit: str, words: str
) -> None:
    assert Verdict(True, "x", value, limit, unit, 0.7).worst_case == words


def test_voltages_are_reported_in_volts_where_these_are_known() -> None:
    low = Verdict(True, "bus:4.a", 0.9, 0.9, "p.u.", 1.0, nominal_v=400 / 3**0.5)
    assert low.worst_case == "bus:4.a reaches 0.9 p.u. = 207.8 V (limit 0.9 p.u. = 207.8 V)"
    high = Verdict(True, "bus:4", 1.02, 1.05, "p.u.", 0.4, nominal_v=110e3)
    assert high.worst_case == "bus:4 reaches 1.02 p.u. = 112,200 V (limit 1.05 p.u. = 115,500 V)"


def test_networks_know_their_nominal_voltages(tmp_path: Path) -> None:
    for network, nominal in (
        (simbench_network("1-LV-semiurb4--0-sw"), 400.0),
        (phases_from_pandapower(phase_net(), held="source"), 400 / 3**0.5),
        (meshed_network_from_pandapower(ring(3), passive="as-given"), 110e3),
        (network_from_opendss(four_wires(tmp_path)), 400 / 3**0.5),
    ):
        assert set(network.nominal_v) == set(network.voltages.elements)
        assert max(network.nominal_v.values()) >= nominal * (1 - 1e-9)
        assert min(network.nominal_v.values()) == pytest.approx(nominal)
        for part in islands_of(network):
            assert part.network.nominal_v.items() <= network.nominal_v.items()
