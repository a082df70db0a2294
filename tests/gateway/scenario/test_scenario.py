from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pandapower as pp
import pytest
from phase_networks import phase_net
from scenario_files import GOOD, faults_of, load, small_net

from exchange.vocabulary.rules import ExchangeRate, MarketRules, MeteringRules
from gateway.formats.faults import InputFaults
from gateway.scenario.loading import load_scenario, scenario_path
from security_check.errors import InsecureError
from security_check.model.limits import InterfaceLimits


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pp.to_json(small_net(), str(tmp_path / "net.json"))
    return tmp_path


def test_a_short_scenario_has_sensible_defaults(folder: Path) -> None:
    scenario = load(folder, GOOD)
    assert scenario.area == "village"
    assert scenario.network.connection_points == ("load:0", "load:1", "load:2")
    assert (scenario.voltage_limits.minimum_pu, scenario.voltage_limits.maximum_pu) == (0.9, 1.1)
    assert scenario.interface_limits.injection_limit_w is None
    assert scenario.capacity.injection_w.tolist() == [30000] * 3
    assert scenario.capacity.fallback_withdrawal_w.tolist() == [0] * 3
    assert scenario.anonymous
    (interval,) = scenario.intervals
    assert interval.end - interval.start == timedelta(minutes=15)
    assert scenario.rules.tick == Decimal("0.0001")
    assert scenario.rules.lot_w == 1
    assert not scenario.has_participants
    assert {terms.connection_point: terms.participant for terms in scenario.terms()} == {
        point: point for point in scenario.network.connection_points
    }


def test_capacities_may_be_given_for_each_connection_point(folder: Path) -> None:
    text = (
        GOOD.replace("injection_w = 30000", 'injection_w = {default = 30000, "load:1" = 5000}')
        + 'fallback_injection_w = {"load:1" = 500}\npower_factor = {"load:2" = 0.95}\n'
    )
    scenario = load(folder, text)
    assert scenario.capacity.injection_w.tolist() == [30000, 5000, 30000]
    assert scenario.capacity.fallback_injection_w.tolist() == [0, 500, 0]
    assert scenario.ac_network.reactive_ratio[:2].tolist() == [0.0, 0.0]
    assert scenario.ac_network.reactive_ratio[2] == pytest.approx(0.3287, abs=1e-4)
    assert scenario.terms()[1].injection_capacity_w == 5000


def test_reactive_power_may_be_chosen_freely(folder: Path) -> None:
    text = (
        GOOD
        + 'power_factor = 0.95\ncone_power_factor = {"load:0" = 0.8}\n'
        + 'reactive_min_var = {"load:1" = -1000}\nreactive_max_var = {"load:1" = 500}\n'
    )
    network = load(folder, text).ac_network
    freedom = network.reactive_freedom
    assert freedom is not None
    assert freedom.cone.tolist() == pytest.approx([0.75, 0.0, 0.0])
    assert (freedom.middle * network.base_power_w).tolist() == pytest.approx([0, -250, 0])
    assert (freedom.half * network.base_power_w).tolist() == pytest.approx([0, 750, 0])
    assert load(folder, GOOD).ac_network.reactive_freedom is None


def test_reactive_power_of_points_that_do_not_exist(folder: Path) -> None:
    text = GOOD + (
        'reactive_min_var = {"load:1" = 200}\nreactive_max_var = {"load:9" = 5}\n'
        'cone_power_factor = {"load:2" = 1.5}\n'
    )
    found = faults_of(folder, text)
    assert "capacity.cone_power_factor.load:2" in found
    found = faults_of(folder, text.replace("1.5", "0.9"))
    assert "from 200 to 0 var" in found["load:1"][0]
    assert "capacity.reactive_max_var names it" in found["load:9"][0]


def test_inverters_respond_to_their_voltage(folder: Path) -> None:
    text = GOOD + (
        '[inverters]\nresponse = {default = "as4777-australia-a", "load:1" = "none", '
        '"load:2" = "mine"}\nrating_va = 5000\n'
        "[inverters.curves.mine]\nvolt_var = [[0.95, 0.5], [1.05, -0.5]]\n"
    )
    network = load(folder, text).ac_network
    inverters = network.inverters
    assert inverters is not None
    assert (inverters.rating_pu * network.base_power_w).tolist() == pytest.approx([5000, 5000])
    assert inverters.volt_var.largest.tolist() == pytest.approx([0.6, 0.5])
    assert load(folder, GOOD).ac_network.inverters is None
    alone = load(folder, GOOD + '[inverters]\nresponse = "ieee1547-b-volt-var"\nrating_va = 1\n')
    assert alone.ac_network.inverters is not None
    assert len(alone.ac_network.inverters.ports) == 3


def test_inverters_that_cannot_be(folder: Path) -> None:
    found = faults_of(
        folder,
        GOOD
        + 'cone_power_factor = {"load:2" = 0.9}\n'
        + '[inverters]\nresponse = {"load:0" = "nothing", "load:1" = "mine", "load:9" = "mine"}\n'
        + 'rating_va = {"load:1" = 0, "load:9" = 1}\n'
        + "[inverters.curves.mine]\nvolt_var = [[1.05, 0.5], [0.95, -1.5]]\n",
    )
    assert found["load:0"][0].startswith('there is no response "nothing"; there is as4777')
    assert found["load:1"] == [
        "inverters.rating_va gives it a rating that is 0 VA; a rating above 0 is needed"
    ]
    assert found["inverters.curves.mine"] == [
        "the voltages [1.05, 0.95] of a curve do not ascend",
        "its volt-var curve goes beyond -1 to 1 of the rating",
    ]
    assert "no such connection point" in found["load:9"][0]
    text = GOOD + 'cone_power_factor = 0.9\n[inverters]\nresponse = "ieee1547-a"\nrating_va = 9\n'
    assert "it can only do one of the two" in faults_of(folder, text)["load:0"][0]
    text = GOOD + '[inverters]\nresponse = "ieee1547-a"\n'
    assert "neither a value for it nor a default" in faults_of(folder, text)["load:2"][0]


@pytest.mark.parametrize(
    ("text", "element", "why"),
    [
        (
            'response = "mine"\nrating_va = 9\ncurves.mine.volt_var = [[1.0, 3.0]]',
            "inverters.curves.mine",
            "goes beyond -1 to 1",
        ),
        ('response = "ieee1547-a"\nrating_va = 0', "inverters.rating_va", "it is 0 VA"),
        (
            'response = "ieee1547-a"\nrating_va = 9\ncurves.mine.volt_var = [[1.0, 0.0]]',
            "inverters.curves.mine",
            "no connection point uses it",
        ),
        (
            'response = "mine"\nrating_va = 9\ncurves.mine = {}',
            "inverters.curves.mine",
            "neither volt_var nor volt_watt",
        ),
        ("rating_va = 5000", "inverters.rating_va", "no connection point has a response"),
        (
            'response = {"load:1" = "ieee1547-a"}\nrating_va = {default = 9, "load:0" = 8}',
            "load:0",
            "gives it 8 VA, but it has no response",
        ),
        (
            'response = {default = "ieee1547-a", "load:0" = "none"}\n'
            'rating_va = {default = 9, "load:0" = 8}',
            "load:0",
            "gives it 8 VA, but it has no response",
        ),
        (
            'response = "ieee1547-a"\nrating_va = {default = 9, "load:7" = 8}',
            "load:7",
            "inverters.rating_va names it, but it is not a connection point",
        ),
    ],
)
def test_what_is_stated_of_inverters_is_used_or_a_fault_once(
    folder: Path, text: str, element: str, why: str
) -> None:
    found = faults_of(folder, f"{GOOD}[inverters]\n{text}\n")
    assert list(found) == [element]
    assert len(found[element]) == 1
    assert why in found[element][0]


def test_participants_own_connection_points(folder: Path) -> None:
    scenario = load(folder, GOOD + '[participants]\nbakery = ["load:0", "load:2"]\n')
    assert scenario.has_participants
    assert scenario.owners == {"load:0": "bakery", "load:2": "bakery", "load:1": "load:1"}


def test_intervals_follow_one_another_with_their_own_limits(folder: Path) -> None:
    (folder / "limits.csv").write_text(
        "start,injection_limit_w,withdrawal_limit_w,voltage_max_pu\n"
        "2016-05-02T12:15:00Z,50000,,1.03\n"
    )
    scenario = load(
        folder,
        GOOD + "[market]\ntick = '0.01'\nlot_w = 10\ngate_closure_minutes = 5\n"
        "exchange_rate = 'network_weighted'\nreserve_price = '0.03'\n"
        "[intervals]\nstart = 2016-05-02T12:00:00Z\nminutes = 15\ncount = 3\n"
        "limits_file = 'limits.csv'\n",
    )
    assert not scenario.anonymous
    noon = datetime(2016, 5, 2, 12, tzinfo=UTC)
    assert [i.start for i in scenario.intervals] == [
        noon + k * timedelta(minutes=15) for k in range(3)
    ]
    special = scenario.intervals[1].interface_limits
    assert (special.injection_limit_w, special.withdrawal_limit_w) == (50000, None)
    assert (special.voltage_min_pu, special.voltage_max_pu) == (0.98, 1.03)
    assert scenario.intervals[2].interface_limits == scenario.interface_limits
    assert scenario.rules == MarketRules(
        tick=Decimal("0.01"),
        lot_w=10,
        exchange_rate=ExchangeRate.NETWORK_WEIGHTED,
        reserve_price_ticks=3,
    )
    assert scenario.gate_closure == timedelta(minutes=5)


def test_a_reserve_price_off_the_tick_is_a_fault(folder: Path) -> None:
    with pytest.raises(InputFaults) as caught:
        load(folder, GOOD + "[market]\ntick = '0.01'\nreserve_price = '0.025'\n")
    (fault,) = caught.value.faults
    assert "price 0.025 is not a multiple of the tick of 0.01 EUR per kW" in fault.detail


def test_a_column_given_twice_is_a_fault(folder: Path) -> None:
    (folder / "limits.csv").write_text("start,injection_limit_w,injection_limit_w\n")
    text = "[intervals]\nstart = 2016-05-02T12:00:00Z\nlimits_file = 'limits.csv'\n"
    assert faults_of(folder, GOOD + text) == {
        "limits.csv line 1": ["it has the column injection_limit_w 2 times"]
    }


def test_all_faults_of_all_sections_are_reported_at_once(folder: Path) -> None:
    net = small_net()
    net.line.loc[1, "max_i_ka"] = 99999.0
    net.line.loc[2, "max_i_ka"] = float("nan")
    net.trafo.loc[0, "sn_mva"] = 0.0
    pp.to_json(net, str(folder / "net.json"))
    (folder / "limits.csv").write_text(
        "start,injection_limit_w\n2016-05-02T12:00:00Z,-4\n2016-05-02T17:00:00Z,4\nnoon,4\n"
    )
    found = faults_of(
        folder,
        """
        area = "a/b"
        colour = 3
        [network]
        source = "net.json"
        [limits]
        voltage_min_pu = 1.2
        voltage_max_pu = 1.1
        [interface]
        voltage_min_pu = nan
        voltage_max_pu = "high"
        [capacity]
        injection_w = {default = 30000, "load:77" = 1, "load:78" = 1}
        withdrawal_w = {"load:0" = 4}
        fallback_injection_w = 2.5
        [metering]
        penalty_price = "-1"
        tolerance_w = -5
        window_hours = 0

        [market]
        tick = "0"
        lot_w = 0
        [participants]
        tso = ["load:0"]
        bakery = ["load:1", "load:99"]
        butcher = ["load:1"]
        [intervals]
        start = 2016-05-02T12:00:00Z
        limits_file = "limits.csv"
        """,
    )
    assert {
        "area",
        "colour",
        "limits",
        "interface.voltage_min_pu",
        "interface.voltage_max_pu",
        "capacity.fallback_injection_w",
        "load:77",
        "load:78",
        "market.tick",
        "metering.penalty_price",
        "metering.tolerance_w",
        "metering.window_hours",
        "market.lot_w",
        "participants.tso",
        "participants.bakery",
        "participants.butcher",
        "line:1",
        "line:2",
        "trafo:0",
        "limits.csv line 2.injection_limit_w",
        "limits.csv line 3",
        "limits.csv line 4.start",
    } == set(found)


def test_capacity_tables_name_unknown_and_missing_points(folder: Path) -> None:
    text = GOOD.replace("injection_w = 30000", 'injection_w = {default = 1, "load:77" = 1}')
    text = text.replace("withdrawal_w = 20000", 'withdrawal_w = {"load:0" = 4}')
    found = faults_of(folder, text)
    assert set(found) == {"load:77", "load:1", "load:2"}
    assert "capacity.injection_w" in found["load:77"][0]
    assert "capacity.withdrawal_w" in found["load:1"][0]


def test_a_fallback_above_its_capacity_is_a_fault(folder: Path) -> None:
    found = faults_of(folder, GOOD + 'fallback_withdrawal_w = {"load:2" = 20001}\n')
    assert found == {
        "load:2": ["its withdrawal fallback of 20001 W exceeds its capacity of 20000 W"]
    }


def test_a_network_with_missing_buses_names_the_elements(folder: Path) -> None:
    net = small_net()
    net.load.loc[1, "bus"] = 55
    net.line.loc[0, "to_bus"] = 56
    net.line.loc[1, "max_i_ka"] = 99999.0
    pp.to_json(net, str(folder / "net.json"))
    found = faults_of(folder, GOOD)
    assert {"load:1", "line:0", "line:1"} == set(found)
    assert "55" in found["load:1"][0]


@pytest.mark.parametrize(
    ("line", "element", "words"),
    [
        ("start = 2016-05-02T12:00:00", "intervals.start", "timezone"),
        ("count = 3", "intervals.start", "missing"),
        ("start = 2016-05-02T12:00:00Z\ncount = 0", "intervals.count", "greater"),
        ("start = 9999-12-31T23:50:00Z\ncount = 4", "intervals.start", "years 1970 to 9998"),
        ("start = 0001-01-01T00:00:00+01:00", "intervals.start", "years 1970 to 9998"),
        (
            "start = 9998-12-31T23:50:00Z\nminutes = 1440\ncount = 10000",
            "intervals.count",
            "end after the year 9999",
        ),
        ("start = 2016-05-02T12:00:00Z\nlimits_file = 'no.csv'", "intervals.limits_file", "no.csv"),
    ],
)
def test_faults_of_intervals(folder: Path, line: str, element: str, words: str) -> None:
    found = faults_of(folder, f"{GOOD}[intervals]\n{line}\n")
    assert set(found) == {element}
    assert words in found[element][0]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nothing.json", "there is no file"),
        ("village.toml", "cannot be read as pandapower JSON"),
        ("bundled:nothing", "mv-rural, semiurb4"),
        ("simbench:nothing", "not a simbench code"),
        ("pandapower:nothing", "not a network that pandapower builds"),
        ("pandapower:__doc__", "not a network that pandapower builds"),
        ("pandapower:create_line", "not a network that pandapower builds"),
        ("pandapower:create_dickert_lv_feeders", "without arguments"),
    ],
)
def test_a_source_that_leads_nowhere(folder: Path, source: str, words: str) -> None:
    found = faults_of(folder, GOOD.replace("net.json", source))
    assert list(found) == ["network.source"]
    assert words in found["network.source"][0]


def test_simbench_may_be_missing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.formats.optional_packages.find_spec", lambda name: None)
    found = faults_of(folder, GOOD.replace("net.json", "simbench:1-LV-semiurb4--0-sw"))
    assert "not installed" in found["network.source"][0]


def test_pandapower_builds_networks(folder: Path) -> None:
    scenario = load(folder, GOOD.replace("net.json", "pandapower:simple_four_bus_system"))
    assert scenario.network.connection_points == ("load:0", "load:1")


@pytest.mark.parametrize(
    ("content", "words"), [(b"a = = 1", "not TOML"), (b"\xff\xfe", "not UTF-8"), (None, "no such")]
)
def test_a_file_that_is_no_scenario(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "scenario.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputFaults) as caught:
        load_scenario(path)
    assert len(caught.value.faults) == 1
    assert words in caught.value.faults[0].detail


def test_scenarios_ship_with_the_project(tmp_path: Path) -> None:
    assert scenario_path("somewhere.toml") == Path("somewhere.toml")
    with pytest.raises(InputFaults, match="known names: demo, reference"):
        scenario_path("bundled:nothing")
    scenario = load_scenario(scenario_path("bundled:reference"))
    assert len(scenario.network.connection_points) == 41


@pytest.mark.slow
def test_the_shipped_network_is_the_one_of_simbench(folder: Path) -> None:
    shipped = load(folder, GOOD.replace("net.json", "bundled:semiurb4")).ac_network
    original = load(folder, GOOD.replace("net.json", "simbench:1-LV-semiurb4--0-sw")).ac_network
    assert shipped.nodes == original.nodes
    assert shipped.connection_points == original.connection_points
    assert shipped.ports.names == original.ports.names
    assert abs(shipped.port_shares - original.port_shares).max() == 0.0
    assert abs(shipped.admittance - original.admittance).max() == 0.0
    assert (shipped.terminals.rating_pu == original.terminals.rating_pu).all()
    assert shipped.terminals.elements == original.terminals.elements


def test_nothing_but_a_simbench_source_needs_simbench() -> None:
    # The test above may have imported it; the modules themselves never do on import.
    assert "simbench" not in {
        name
        for module in ("gateway.scenario.loading", "gateway.scenario.network_source")
        for name in vars(sys.modules[module])
    }


CIRCUIT = """clear
new circuit.village basekv=20 pu=1.0 phases=3 bus1=up
new transformer.t phases=3 windings=2 buses=(up low.1.2.3.0) conns=(delta wye) kvs=(20 0.4)
~ kvas=(250 250) xhl=4
new line.l bus1=low bus2=end phases=3 r1=0.6 x1=0.08 r0=2.4 x0=0.3 length=0.1 units=km normamps=142
new load.a phases=1 bus1=end.1 kv=0.23 kw=1
new load.b phases=1 bus1=end.2 kv=0.23 kw=1
new load.c phases=3 bus1=low kv=0.4 kw=1
set voltagebases=[20 0.4]
calcvoltagebases
"""


def test_a_circuit_of_opendss_with_customers_on_their_phases(folder: Path) -> None:
    (folder / "village.dss").write_text(CIRCUIT)
    text = GOOD.replace("net.json", "village.dss")
    scenario = load(folder, text + '[capacity.power_factor]\ndefault = 1.0\n"load:b" = 0.9\n')
    network = scenario.ac_network
    assert network.connection_points == ("load:a", "load:b", "load:c")
    assert network.reactive_ratio.tolist() == pytest.approx([0.0, 0.4843, 0.0], abs=1e-4)
    ports = (network.port_shares.T > 0).sum(axis=1)
    assert ports.tolist() == [1, 1, 3]
    check = scenario.grid().allocate(scenario.interface_limits)
    assert check.verdict.secure


def test_a_circuit_that_is_none(folder: Path) -> None:
    (folder / "village.dss").write_text("clear\nnew circuit.village basekv=20\nnew nonsense.x\n")
    assert "village.dss" in faults_of(folder, GOOD.replace("net.json", "village.dss"))
    missing = faults_of(folder, GOOD.replace("net.json", "elsewhere.dss"))
    assert "there is no file" in missing["network.source"][0]


def test_customers_on_their_own_phases_need_zero_sequence_data(folder: Path) -> None:
    net = small_net()
    pp.create_asymmetric_load(net, 3, p_a_mw=0.001)
    pp.to_json(net, str(folder / "net.json"))
    table = 'source = "net.json"\nconnection_points = "asymmetric_load"'
    found = faults_of(folder, GOOD.replace('source = "net.json"', table))
    assert {"line:0", "line:1", "line:2"} <= set(found)
    assert "r0_ohm_per_km" in found["line:0"][0]


PHASES = GOOD.replace(
    'source = "net.json"', 'source = "net.json"\nconnection_points = "asymmetric_load"'
)
LIMITED = PHASES + "[limits]\nunbalance = 0.015\n"


@pytest.fixture
def phases(folder: Path) -> Path:
    pp.to_json(phase_net(4, 1), str(folder / "net.json"))
    return folder


def with_unbalance(text: str, value: str) -> str:
    return text.replace("voltage_max_pu = 1.04", f"voltage_max_pu = 1.04\nunbalance_pu = {value}")


def test_voltage_unbalance_is_limited(phases: Path) -> None:
    scenario = load(phases, LIMITED)
    assert scenario.voltage_limits.unbalance == 0.015
    assert scenario.ac_network.held == 1
    less = scenario.grid().allocate(scenario.interface_limits).limits_w.sum()
    usual = load(phases, PHASES)
    assert usual.voltage_limits.unbalance is None
    assert less < usual.grid().allocate(usual.interface_limits).limits_w.sum()


@pytest.mark.parametrize("value", ["0.005", "0", "0.0"])
def test_a_contracted_unbalance_is_about_the_phases_of_the_interface(
    phases: Path, value: str
) -> None:
    scenario = load(phases, with_unbalance(LIMITED, value))
    assert scenario.interface_limits.unbalance_pu == float(value)
    assert scenario.ac_network.held == 3
    assert scenario.grid().allocate(scenario.interface_limits).verdict.secure


def test_an_interval_may_contract_another_unbalance(phases: Path) -> None:
    (phases / "limits.csv").write_text("start,unbalance_pu\n2016-05-02T12:15:00Z,0.01\n")
    intervals = "start = 2016-05-02T12:00:00Z\ncount = 2\nlimits_file = 'limits.csv'\n"
    scenario = load(phases, LIMITED + "[intervals]\n" + intervals)
    contracts = [interval.interface_limits for interval in scenario.intervals]
    assert [each.unbalance_pu for each in contracts] == [None, 0.01]
    assert [each.voltage_max_pu for each in contracts] == [1.04, 1.04]
    assert scenario.ac_network.held == 3
    sizes = [scenario.grid().allocate(each).limits_w.sum() for each in contracts]
    assert sizes[1] < sizes[0]


def test_unbalance_needs_phases(folder: Path) -> None:
    found = faults_of(folder, with_unbalance(GOOD, "0.01") + "[limits]\nunbalance = 0.02\n")
    assert set(found) == {"limits.unbalance", "interface.unbalance_pu"}
    assert all("asymmetric_load" in detail for (detail,) in found.values())


def test_a_balanced_network_needs_no_phases_for_an_unbalance_of_zero(folder: Path) -> None:
    assert load(folder, with_unbalance(GOOD, "0.0")).interface_limits.unbalance_pu == 0.0


@pytest.mark.parametrize("value", ["-0.01", "1.0", "nan", '"much"'])
def test_unbalances_that_are_none(phases: Path, value: str) -> None:
    text = with_unbalance(PHASES, value) + f"[limits]\nunbalance = {value}\n"
    assert set(faults_of(phases, text)) == {"limits.unbalance", "interface.unbalance_pu"}


def test_a_limit_of_no_unbalance_at_all_is_none(phases: Path) -> None:
    assert "limits.unbalance" in faults_of(phases, PHASES + "[limits]\nunbalance = 0.0\n")


def test_an_update_that_the_model_cannot_answer_is_refused(phases: Path) -> None:
    """The scenario holds the source; the TSO says later that the phases may differ."""
    scenario = load(phases, LIMITED)
    grid = scenario.grid()
    held = grid.allocate(scenario.interface_limits).envelopes()
    with pytest.raises(InsecureError, match="not held one by one"):
        grid.reallocate(InterfaceLimits(0.98, 1.04, unbalance_pu=0.01), held)


def test_settlement_has_prices_in_whole_ticks(folder: Path) -> None:
    assert load(folder, GOOD).rules.metering is None
    settled = """
[market]
tick = "0.01"
compensation_price = "0.02"
[metering]
penalty_price = "0.50"
tolerance_w = 25
window_hours = 48
"""
    rules = load(folder, GOOD + settled).rules
    assert rules.compensation_price_ticks == 2
    assert rules.metering == MeteringRules(50, 25, timedelta(hours=48))
    between = settled.replace("0.02", "0.025").replace("0.50", "0.505")
    assert faults_of(folder, GOOD + between) == {
        "market.compensation_price": [
            "price 0.025 is not a multiple of the tick of 0.01 EUR per kW"
        ],
        "metering.penalty_price": ["price 0.505 is not a multiple of the tick of 0.01 EUR per kW"],
    }
    assert "metering.penalty_price" in faults_of(folder, GOOD + "[metering]\n")
