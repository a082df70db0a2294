"""Cases of coordination: files with faults, the command, and the case that ships."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandapower as pp
import pytest
from command_line import run
from hierarchy_cases import write
from pictures import saved_figures, words
from presence import there

from doe_allocation.coordination.ac_model import AcModel, OperatingPoint
from doe_allocation.coordination.coordination import WITH_PRIORITY, Scheme, coordinate
from doe_allocation.coordination.plan import Priority
from doe_allocation.hierarchy.joint_model.newton import SIGNS, settings
from gateway.flexibility.coordination import run_schemes
from gateway.flexibility.coordination_case import coordination_path, load_coordination_case
from gateway.flexibility.coordination_result import CoordinationFile, SchemeRecord
from gateway.formats.faults import InputFaults

CASE = """
hierarchy = "three.toml"
source_pu = 1.01

[need]
direction = "upward"
power_w = 5_000_000

[base.top]
power_w = -3_000_000

[base.middle]
power_w = { default = 6_000_000 }

[[loadings]]
operator = "middle"
element = "line:0"
loading_max = 0.62

[[portfolios]]
name = "trader"
power_w = 1_000_000
value_eur_per_mwh = 90.0

[[offers]]
name = "plant up"
provider = "plant"
operator = "top"
connection_point = "load:0"
direction = "upward"
power_w = 12_000_000
price_eur_per_mwh = 70.0

[[offers]]
name = "park up"
provider = "park"
operator = "middle"
connection_point = "load:0"
direction = "upward"
power_w = 2_000_000
price_eur_per_mwh = 30.0

[[offers]]
name = "park down"
provider = "park"
operator = "middle"
connection_point = "load:0"
direction = "downward"
power_w = 3_000_000
price_eur_per_mwh = 8.0

[[offers]]
name = "battery"
provider = "home"
operator = "left"
connection_point = "load:1"
direction = "upward"
power_w = 50_000
price_eur_per_mwh = 20.0
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("coordination")
    write(made)
    return made


def case_file(folder: Path, text: str = CASE) -> Path:
    path = folder / "case.toml"
    path.write_text(text, encoding="utf-8")
    return path


FAULTS = {
    "unknown operator": ('operator = "left"', 'operator = "north"', "there is no operator north"),
    "unknown point": ('"load:1"\ndir', '"load:7"\ndir', "left has no connection point load:7"),
    "interface": (
        'operator = "middle"\nconnection_point = "load:0"\ndirection = "upward"',
        'operator = "middle"\nconnection_point = "load:1"\ndirection = "upward"',
        "load:1 of middle is the interface of left, not a customer",
    ),
    "twice": ('name = "battery"', 'name = "park up"', "there are two offers of that name"),
    "beyond its load": (
        "power_w = 2_000_000",
        "power_w = 2_500_000",
        "upward they are 2,500,000 W together, from 6,000,000 W to 8,500,000 W, outside its "
        "capacity from -8,000,000 to 8,000,000 W",
    ),
    "base": ("default = 6_000_000", "default = 9_000_000", "load:0 has 9,000,000 W, outside"),
    "buyer": ('provider = "home"', 'provider = "trader"', "has the name of a buyer"),
    "party": ('name = "trader"', 'name = "top"', "an operator or another party has that name"),
    "line": ('element = "line:0"', 'element = "line:9"', "middle has no line or transformer"),
    "source": ("source_pu = 1.01", "source_pu = 1.08", "outside the contract, 1 to 1.03 p.u."),
    "lowest source": (
        "source_pu = 1.01",
        "source_pu = 1.01\nsource_min_pu = 0.9",
        "source_min_pu: 0.9 p.u. is outside the contract, 1 to 1.03 p.u.",
    ),
    "highest source": (
        "source_pu = 1.01",
        "source_pu = 1.01\nsource_max_pu = 1.005",
        "source_max_pu: 1.005 p.u. is below source_pu, 1.01 p.u.",
    ),
    "no number": ("power_w = 50_000", "power_w = nan", "valid integer, found NaN"),
    "beyond numbers": ("power_w = 50_000", "power_w = 10_000_000_000_000", "less than or equal"),
    "nothing": ("power_w = 50_000", "power_w = 0", "greater than 0, found 0"),
    "direction": ('direction = "downward"', 'direction = "left"', "'upward' or 'downward'"),
    "entry": ("power_w = 50_000", "power_kw = 50", "there is no such entry"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_a_file_is_named(folder: Path, fault: str) -> None:
    before, after, said = FAULTS[fault]
    assert CASE.count(before) == 1
    with pytest.raises(InputFaults) as found:
        load_coordination_case(case_file(folder, CASE.replace(before, after)))
    assert said in str(found.value)


def test_the_command_writes_what_it_shows(folder: Path, tmp_path: Path) -> None:
    path, output, plot = case_file(folder), tmp_path / "out.json", tmp_path / "out.png"
    with saved_figures() as figures:
        done = run("coordinate", path, "--compare", "-o", output, "--plot", plot)
    assert done.exit_code == 0, done.output
    content = CoordinationFile.model_validate_json(output.read_text())
    assert [each.scheme for each in content.schemes if each.priority == "common"] == list(Scheme)
    for each in content.schemes:
        assert each.scheme in words(figures[0]) or f"{each.scheme}, {each.priority} first" in words(
            figures[0]
        )
        total = sum(round(100 * float(amount)) for amount in each.balances_eur.values())
        assert total == 0
        assert each.told_bytes == sum(told.bytes for told in each.told)
    common = next(each for each in content.schemes if each.scheme == "common")
    assert content.overloads_before
    assert not common.overloads
    assert "common-decentralised" in done.stdout
    blind = run("coordinate", path, "--scheme", "centralised")
    assert blind.exit_code == 1
    assert "exceeded: middle line:0" in blind.stdout
    assert "the offers are enough for all limits" in blind.stdout


def test_a_need_without_offers_says_how_much_and_what_is_missing_where(
    folder: Path, tmp_path: Path
) -> None:
    text = CASE.replace("power_w = 5_000_000", "power_w = 60_000_000")
    done = run("coordinate", case_file(folder, text), "--scheme", "common")
    assert done.exit_code == 1
    assert "MW of the need of top have no offer" in done.stdout
    assert "flexibility missing: " in done.stdout
    output = tmp_path / "out.json"
    run("coordinate", case_file(folder, text), "--scheme", "common", "-o", output)
    (only,) = CoordinationFile.model_validate_json(output.read_text()).schemes
    short = there(only.shortfall)
    assert short.unserved_mw == pytest.approx(only.unserved_mw, abs=0.01)
    assert sum(each.power_mw for each in short.missing) == pytest.approx(
        short.unserved_mw, rel=0.05
    )
    assert short.detail in " ".join(done.stdout.split())


SENTENCES = {
    ("--scheme", "free"): "there is no scheme free; there is centralised, local, dso-managed",
    (): "give --scheme NAME, or --compare for all schemes",
    ("--scheme", "common", "--compare"): "give --scheme NAME, or --compare for all schemes",
    ("--scheme", "common", "--priority", "brp"): "there is no brp; there is common, dso, tso",
    ("--scheme", "local", "--priority", "tso"): "local has its own order of needs",
}


@pytest.mark.parametrize("options", SENTENCES)
def test_options_that_do_not_fit_get_a_sentence(folder: Path, options: tuple[str, ...]) -> None:
    done = run("coordinate", case_file(folder), *options)
    assert done.exit_code == 2
    assert SENTENCES[options] in " ".join(done.output.split())


# What is said about the case that ships in docs/coordination.md: cost, EUR/h.
SHIPPED = {
    "centralised": 1704.54,
    "local": 1822.95,
    "dso-managed": 2089.87,
    "shared-balancing": 2259.51,
    "common": 1796.80,
    "common-decentralised": 1796.81,
    "integrated": 2084.26,
    "hybrid": 2039.62,
    "two-stage": 1796.81,
}


def activated_below(scheme: SchemeRecord) -> int:
    """Return what the TSO activates of the DSOs' resources, W."""
    own = [each for each in scheme.awards if each.buyer == "tso" and each.operator != "tso"]
    return sum(each.power_w for each in own if not each.reactive)


@pytest.mark.slow
def test_the_shipped_case_shows_what_schemes_differ_in() -> None:
    case = load_coordination_case(coordination_path("bundled:tso-dso"))
    orders = [(each, Priority.COMMON) for each in Scheme]
    orders += [(each, Priority.DSO) for each in WITH_PRIORITY]
    result = run_schemes(case, orders)
    by_name = {each.scheme: each for each in result.schemes if each.priority == "common"}
    for name, cost in SHIPPED.items():
        assert float(by_name[name].cost_eur) == pytest.approx(cost, rel=1e-3), name
        assert by_name[name].settled, name
    # The upper operator keeps the band at an interface.
    before = {each.element: each.operator for each in result.overloads_before}
    assert before["hamlet load:6"] == "rural"
    common = float(by_name["common"].cost_eur)
    dso_first = next(e for e in result.schemes if (e.scheme, e.priority) == ("common", "dso"))
    assert float(dso_first.cost_eur) > common
    assert float(by_name["common-decentralised"].cost_eur) == pytest.approx(common, rel=1e-3)
    # Blind: cheapest on paper, and overvoltages at medium and at low voltage.
    over = {each.element.split()[0] for each in by_name["centralised"].overloads}
    assert {"rural", "hamlet"} <= over
    assert float(by_name["centralised"].cost_eur) < common
    served = set(SHIPPED) - {"centralised"}
    for name in served:
        assert not by_name[name].overloads, name
        assert by_name[name].unserved_mw < 1e-4, name
        assert float(by_name[name].cost_eur) >= common - 0.02, name
    assert by_name["local-only"].unserved_mw > 30.0
    assert by_name["distributed"].unserved_mw == pytest.approx(30.0, abs=0.01)
    # The solar trader outbids the plant at 84 EUR/MWh; the retailer's 60 EUR/MWh buy nothing.
    got = {each.name: each.power_mw for each in by_name["integrated"].parties}
    assert got == pytest.approx({"solar-trader": 4.0, "retailer": 0.0})
    assert activated_below(by_name["hybrid"]) > activated_below(by_name["dso-managed"])
    told = {name: each.told_bytes for name, each in by_name.items()}
    assert told["shared-balancing"] < told["common-decentralised"] < told["common"] / 10
    assert not any(end.overloads for end in by_name["two-stage"].ends)
    assert len(by_name["two-stage"].ends) == 8
    assert_pandapower_agrees(case.model, coordinate(case.model, Scheme.COMMON).point)


@pytest.mark.slow
def test_the_voltage_that_the_shipped_case_could_choose_is_the_present_one(tmp_path: Path) -> None:
    text = coordination_path("bundled:tso-dso").read_text(encoding="utf-8")
    band = "source_pu = 1.03\nsource_min_pu = 1.01\nsource_max_pu = 1.05\n"
    model = load_coordination_case(
        case_file(tmp_path, text.replace("source_pu = 1.03\n", band))
    ).model
    result = coordinate(model, Scheme.TWO_STAGE)
    ends = [e for e in result.ends if e.quantity == "voltage"]
    found = {(e.operator, e.high): round(e.found, 3) for e in ends}
    assert found == {
        ("rural", False): pytest.approx(1.022, abs=6e-4),
        ("rural", True): pytest.approx(1.040, abs=6e-4),
        ("commercial", False): pytest.approx(1.020, abs=6e-4),
        ("commercial", True): pytest.approx(1.042, abs=6e-4),
    }
    assert not any(each.overloads for each in ends)
    assert result.point.source_pu == pytest.approx(1.03, abs=1e-4)
    assert float(result.cost) == pytest.approx(1796.81, rel=1e-3)


def assert_pandapower_agrees(model: AcModel, point: OperatingPoint) -> None:
    """Compare all voltages with pandapower's own power flow, and with their limits."""
    flow = model.flow
    net, power = flow.net, point.power * flow.base_w / 1e6
    for (member, _, row), own in zip(flow.joined.customers(), power.tolist(), strict=True):
        sign = SIGNS[member.customer_table]
        net[member.customer_table].loc[row, ["p_mw", "q_mvar"]] = sign * own.real, sign * own.imag
    grids = net.ext_grid.index[net.ext_grid.in_service.astype(bool)]
    net.ext_grid.loc[grids[0], "vm_pu"] = 1.03
    pp.runpp(net, **settings(flow.joined))
    buses = net.bus.index[net.bus.in_service.astype(bool)]
    found = net.res_bus.vm_pu[buses].to_numpy()
    expected = np.abs(point.state.voltage)[flow.node_of[buses.to_numpy(dtype=int)]]
    np.testing.assert_allclose(found, expected, atol=1e-7)
    for bus, voltage in zip(buses, found.tolist(), strict=True):
        assert voltage <= flow.joined.owner(bus).voltage_limits.maximum_pu + 1e-6
