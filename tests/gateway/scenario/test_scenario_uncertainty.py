"""What a scenario says about uncertainty: faults with their element, and envelopes that heed it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandapower as pp
import pytest
from presence import there
from scenario_files import GOOD, faults_of, load, small_net

from doe_allocation.allocation.network_grid import NetworkGrid
from gateway.scenario.loading import load_scenario, scenario_path
from security_check.errors import PowerFlowError
from security_check.uncertainty.deviation_sets import BoxSet, BudgetSet, EllipsoidSet

AS_GIVEN = GOOD.replace('source = "net.json"', 'source = "net.json"\npassive = "as-given"')


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    net = small_net()
    for bus, p_mw, q_mvar in ((2, 0.010, 0.0), (3, 0.020, 0.005), (4, 0.005, 0.0)):
        pp.create_sgen(net, bus, p_mw, q_mvar)
    pp.create_storage(net, 3, p_mw=0.004, max_e_mwh=1.0)
    pp.to_json(net, str(tmp_path / "net.json"))
    return tmp_path


def with_section(text: str) -> str:
    return f"{AS_GIVEN}\n[uncertainty]\n{text}\n"


def test_bands_and_power_factors_are_those_of_the_elements(folder):
    scenario = load(
        folder,
        with_section(
            'relative = {default = 0.0, "sgen:1" = 0.5}\n'
            'absolute_w = {"storage:0" = 3000, "sgen:1" = 1000}\n'
            'power_factor = {"storage:0" = 0.8}'
        ),
    )
    forecast, network = scenario.forecast, scenario.ac_network
    assert forecast.deviations.set == BoxSet(2)
    change = forecast.deviations.power_pu.toarray() * network.base_power_w
    first = network.ports.names.index("bus:3")
    band = 0.5 * 20_000 + 1_000
    np.testing.assert_allclose(change[first], [band * (1 + 0.25j), 3_000 * (1 + 0.75j)])
    assert np.count_nonzero(change) == 2
    np.testing.assert_allclose(forecast.power_pu, network.ports.passive_power_pu)
    assert forecast.power_pu[first] * network.base_power_w == pytest.approx(16_000 + 5_000j)


def test_sets_are_what_they_are_called(folder):
    budget = load(folder, with_section('set = "budget"\ngamma = 1.5\nrelative = 0.2'))
    assert budget.forecast.deviations.set == BudgetSet(4, 1.5)
    ellipsoid = load(
        folder,
        with_section(
            'set = "ellipsoid"\nradius = 2.0\nrelative = 0.2\n'
            'groups = [{elements = ["sgen:0", "sgen:2"], correlation = 0.9}]'
        ),
    ).forecast.deviations.set
    assert isinstance(ellipsoid, EllipsoidSet)
    expected = np.eye(4)
    expected[0, 2] = expected[2, 0] = 0.9
    np.testing.assert_array_equal(ellipsoid.covariance, expected)
    assert ellipsoid.radius == 2.0


def test_envelopes_shrink_by_what_is_uncertain(folder):
    plain = AS_GIVEN.replace("injection_w = 30000", "injection_w = 200000")
    certain, uncertain, tolerant = (
        load(folder, plain + more).grid()
        for more in (
            "",
            "\n[uncertainty]\nrelative = 0.5\n",
            '\n[uncertainty]\nimpedance = {default = 0.1, "trafo:0" = 0.05}\n',
        )
    )
    limits = [
        grid.allocate(load(folder, plain).interface_limits).limits_w
        for grid in (certain, uncertain, tolerant)
    ]
    assert limits[1].min() < limits[0].min()
    assert limits[2].min() < limits[0].min()
    assert isinstance(tolerant, NetworkGrid)
    names = tolerant.network.ports.names
    assert set(names) >= {"line:0", "line:1", "line:2", "trafo:0"}


def test_without_the_section_everything_is_certain(folder):
    scenario = load(folder, AS_GIVEN)
    assert scenario.forecast.deviations.set.count == 0
    assert scenario.ac_network.ports.compensation is None


@pytest.mark.parametrize(
    ("text", "element", "why"),
    [
        ('relative = {"sgen:9" = 0.1}', "sgen:9", "uncertainty.relative names it"),
        ('absolute_w = {"load:0" = 10}', "load:0", "it is not a passive element"),
        ("relative = -0.1", "uncertainty.relative", "greater than or equal to 0"),
        ('set = "budget"\nrelative = 0.1', "uncertainty.gamma", 'the set "budget" needs it'),
        (
            'set = "budget"\nrelative = 0.1\ngamma = 4.5',
            "uncertainty.gamma",
            "it is 4.5, but only 4 elements deviate",
        ),
        ("gamma = 1.0\nrelative = 0.1", "uncertainty.gamma", 'given, but the set is "box"'),
        ('set = "ellipsoid"\nrelative = 0.1', "uncertainty.radius", "needs it"),
        (
            'set = "ellipsoid"\nradius = 1.0\nrelative = {"sgen:0" = 0.1}\n'
            'groups = [{elements = ["sgen:0", "sgen:1"], correlation = 0.5}]',
            "sgen:1",
            "group 1 of uncertainty.groups names it, but its deviation is 0",
        ),
        (
            'set = "ellipsoid"\nradius = 1.0\nrelative = 0.1\n'
            'groups = [{elements = ["sgen:0", "sgen:1"], correlation = 0.5}, '
            '{elements = ["sgen:1", "sgen:2"], correlation = 0.5}]',
            "sgen:1",
            "group 2 of uncertainty.groups names it again",
        ),
        ('impedance = {"line:7" = 0.1}', "line:7", "no such branch is in service"),
        ("impedance = 0.6", "trafo:0", "its impedance tolerance is 0.6; it must be from 0 to 0.4"),
    ],
)
def test_faults_name_the_element_and_the_numbers(folder, text, element, why):
    found = faults_of(folder, with_section(text))
    assert any(why in detail for detail in found[element]), found


def test_deviations_need_elements_that_do_not_trade(folder):
    found = faults_of(folder, GOOD + "\n[uncertainty]\nrelative = 0.1\n")
    assert 'network.passive must be "as-given"' in found["uncertainty"][0]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('relative = {"sgen:9" = 0.1}', ["sgen:9"]),
        ('relative = {"load:0" = 0.1, "load:1" = 0.1}', ["load:0", "load:1"]),
        ('set = "budget"\ngamma = 1.0\nrelative = {"sgen:9" = 0.1}', ["sgen:9"]),
        (
            'set = "ellipsoid"\nradius = 1.0\nrelative = 0.1\n'
            'groups = [{elements = ["sgen:0", "sgen:9"], correlation = 0.5}]',
            ["sgen:9"],
        ),
    ],
)
def test_a_wrong_name_is_one_fault_and_nothing_follows_from_it(folder, text, names):
    found = faults_of(folder, with_section(text))
    assert list(found) == names
    assert all(len(details) == 1 for details in found.values())


def test_deviations_that_no_envelope_survives_are_reported_as_such(folder):
    scenario = load(folder, with_section("absolute_w = 100_000_000"))
    with pytest.raises(PowerFlowError, match=r"every limit at its lower bound .* no solution"):
        scenario.grid().allocate(scenario.interface_limits)


def test_the_example_that_ships_with_us_is_what_it_says():
    scenario = load_scenario(scenario_path("bundled:uncertain"))
    deviations = scenario.forecast.deviations
    assert deviations.impedances == len(set(there(scenario.ac_network.series).elements)) == 43
    assert deviations.set.count == 1 + 43
