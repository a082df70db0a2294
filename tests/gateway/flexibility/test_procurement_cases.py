"""The file of a procurement case: what is read, and every fault with its element."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from gateway.flexibility.case_loading import SetChoice, case_path, read_cases
from gateway.flexibility.day_loading import load_day
from gateway.formats.faults import InputFaults
from gateway.formats.input_files import bundled


def case() -> dict[str, Any]:
    """Return a feeder of three buses with three resources."""
    return {
        "base_voltage_v_line_to_line": 400,
        "slack_bus": 1,
        "branches": [
            {"id": "1-2", "from": 1, "to": 2, "r_ohm": 0.1, "x_ohm": 0.05},
            {"id": "2-3", "from": 2, "to": 3, "r_ohm": 0.1, "x_ohm": 0.05},
        ],
        "pods": [
            {"pod": 1, "bus": 2, "p_kw": 10, "q_kvar": 2, "flexible": True},
            {"pod": 2, "bus": 3, "p_kw": 20, "q_kvar": 5},
            {"pod": 3, "bus": 3, "p_kw": -8, "power_factor": 0.95, "flexible": True},
        ],
        "voltage_min_pu": 0.9,
        "current_limit_a": {"1-2": 60},
        "cases": {"a": {"flexible_percent": 5, "inflexible_percent": 10}},
    }


def read(content: dict[str, Any]):
    return read_cases(json.dumps(content).encode(), "case")


def faults(content: dict[str, Any]) -> list[str]:
    with pytest.raises(InputFaults) as caught:
        read(content)
    return [str(each) for each in caught.value.faults]


def offer(**changes: Any) -> dict[str, Any]:
    return {"pod": 1, "direction": "upward", "to_kw": 5, "price_eur_per_kwh": 0.2} | changes


def test_without_offers_flexible_resources_offer_all_their_power_at_one_price():
    loaded = read(case())
    size = loaded.network.base_power_w
    found = [
        (o.resource, o.direction.value, round(o.power_pu * size), o.price) for o in loaded.offers
    ]
    price = size / 1e3
    assert found == [(0, "upward", 10_000, price), (2, "downward", 8_000, price)]


def test_no_offers_are_no_offers():
    assert not read(case() | {"offers": []}).offers


def test_a_power_factor_gives_reactive_power():
    ratio = read(case()).network.reactive_ratio
    assert ratio == pytest.approx([0.2, 0.25, np.tan(np.arccos(0.95))])
    passive = read(case()).network.passive
    assert passive is not None
    assert passive.power_pu[2].imag > 0.0  # lagging when withdrawing: a generator that gives both


def test_steps_of_an_offer_are_read_in_any_order():
    steps = [offer(from_kw=5, to_kw=9, price_eur_per_kwh=0.3), offer()]
    loaded = read(case() | {"offers": steps})
    size = loaded.network.base_power_w
    assert [round(o.power_pu * size) for o in loaded.offers] == [4_000, 5_000]


def test_a_resource_may_have_a_band_of_its_own():
    content = case()
    content["pods"][1]["half_band_percent"] = 33
    assert read(content).bands["a"] == pytest.approx([0.05, 0.33, 0.05])


def changed(part: str, place: int, **changes: Any) -> dict[str, Any]:
    content = case()
    content[part][place] |= changes
    return content


def without(part: str, place: int, key: str) -> dict[str, Any]:
    content = case()
    del content[part][place][key]
    return content


def added(part: str, entry: dict[str, Any]) -> dict[str, Any]:
    content = case()
    content[part].append(entry)
    return content


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (without("pods", 1, "q_kvar"), "pod:2: it has neither q_kvar nor power_factor"),
        (changed("pods", 0, p_kw=0), "pod:1: its p_kw is 0, so that P and Q give no power factor"),
        (changed("pods", 0, power_factor=0.5), "pod:1: its power_factor is 0.5, but P and Q have"),
        (changed("pods", 0, power_factor=0), "pods.0.power_factor: it should be greater than 0"),
        (changed("pods", 0, bus=True), "pods.0.bus: it should be a name or a whole number, found"),
        (changed("pods", 0, bus=1.5), "pods.0.bus: it should be a name or a whole number, found"),
        (changed("pods", 0, bus=-1), "pods.0.bus: it should be at least 0, found -1"),
        (changed("pods", 0, bus=""), "pods.0.bus: it should have 1 to 100 characters, found"),
        (changed("pods", 1, pod=1), "pod:1: this resource is there more than once"),
        (changed("pods", 1, bus=9), "pod:2: it is at bus:9, but no branch ends at such a bus"),
        (changed("pods", 1, p_kw="20"), "pods.1.p_kw: it should be a valid number"),
        (changed("pods", 1, half_band_percent=-1), "pods.1.half_band_percent: it should be"),
        (changed("pods", 1, colour="red"), "pods.1.colour: there is no such entry"),
        (changed("branches", 1, id="1-2"), "branch:1-2: this id is used more than once"),
        (changed("branches", 1, r_ohm=-0.1), "branches.1.r_ohm: it should be greater"),
        (changed("branches", 1, r_ohm=0, x_ohm=0), "branch:2-3: its impedance is 0 + j 0 ohm"),
        (changed("branches", 1, to=2), "branch:2-3: both its ends are at bus:2"),
        (
            added("branches", {"id": "x", "from": 3, "to": 1, "r_ohm": 0.1, "x_ohm": 0.1}),
            "branch:x: it closes a loop: other branches already connect bus:3 and bus:1",
        ),
        (
            added("branches", {"id": "x", "from": 4, "to": 5, "r_ohm": 0.1, "x_ohm": 0.1}),
            "bus:4: no branch connects it to the source, bus:1",
        ),
        (case() | {"slack_bus": 7}, "bus:7: it is the source, and no branch ends there"),
        (case() | {"voltage_min_pu": 1.2}, "voltage_min_pu: 1.2 is not below voltage_max_pu 1.1"),
        (case() | {"current_limit_a": {"9": 5}}, "current_limit_a.9: there is no branch"),
        (case() | {"current_limit_a": {"1-2": 0}}, "current_limit_a.1-2: it should be greater"),
        (case() | {"planes": 2}, "planes: it should be greater than or equal to 3"),
        (case() | {"cases": {}}, "cases: "),
        (
            case() | {"cases": {"a": {"flexible_percent": -5, "inflexible_percent": 1}}},
            "cases.a.flexible_percent: it should be greater than or equal to 0",
        ),
        (case() | {"correlation": 2}, "correlation: it should be less than or equal to 1"),
        (case() | {"offers": [offer(to_kw=11)]}, "pod:1: it offers 11 kW upward, beyond its load"),
        (
            case() | {"offers": [offer(pod=3, direction="downward", to_kw=9)]},
            "pod:3: it offers 9 kW downward, beyond its generation of 8 kW",
        ),
        (case() | {"offers": [offer(pod=7)]}, "pod:7: it offers flexibility, but there is no such"),
        (case() | {"offers": [offer(pod=2)]}, "pod:2: it offers flexibility, but it is not"),
        (case() | {"offers": [offer(), offer(to_kw=6)]}, "pod:1 upward: its offers overlap"),
        (
            case() | {"offers": [offer(), offer(from_kw=6, to_kw=8)]},
            "pod:1 upward: nothing is offered between 5 kW and 6 to 8 kW",
        ),
        (
            case() | {"offers": [offer(), offer(from_kw=5, to_kw=8, price_eur_per_kwh=0.1)]},
            "pod:1 upward: 5 to 8 kW costs 0.1 EUR/kWh, less than 0.2 for the step before",
        ),
        (case() | {"offers": [offer(from_kw=5)]}, "pod:1: its offer goes from 5 to 5 kW"),
        (case() | {"offers": [offer(direction="sideways")]}, "offers.0.direction: it should be"),
        (case() | {"offers": [offer(price_eur_per_kwh=-1)]}, "offers.0.price_eur_per_kwh: it"),
    ],
)  # fmt: skip
def test_a_fault_is_a_sentence_that_names_the_element(content, sentence):
    found = faults(content)
    assert any(each.startswith(sentence) for each in found), found


def test_all_faults_are_reported_together():
    content = changed("pods", 1, bus=9) | {"offers": [offer(pod=7)], "voltage_min_pu": 1.2}
    assert len(faults(content)) == 3


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"{", "content: it is not JSON"),
        (b"[]", "content: "),
        (json.dumps(case()).replace("60}", "NaN}").encode(), "current_limit_a.1-2: "),
        (json.dumps(case())[:-1].encode() + b', "planes": 3, "planes": 4}', "planes: it is there"),
    ],
)
def test_a_text_that_is_no_case_is_refused(text, sentence):
    with pytest.raises(InputFaults, match=sentence):
        read_cases(text, "case")


@pytest.mark.parametrize(
    ("text", "kind", "size"),
    [
        ("box", "box", 1.0),
        ("gamma=2.5", "budget", 2.5),
        ("gamma=0", "budget", 0.0),
        ("ellipsoid", "ellipsoid", 1.0),
        ("ellipsoid=2", "ellipsoid", 2.0),
    ],
)
def test_sets_are_named_in_words(text, kind, size):
    choice = SetChoice.parse(text)
    assert (choice.kind, choice.size) == (kind, size)


@pytest.mark.parametrize(
    "text", ["", "gamma", "gamma=", "gamma=-1", "gamma=nan", "ellipsoid=x", "box=3", "ball", "Box"]
)
def test_what_names_no_set_is_refused_with_those_that_there_are(text):
    with pytest.raises(ValueError, match="gamma=NUMBER"):
        SetChoice.parse(text)


def test_a_budget_larger_than_the_number_of_resources_is_a_fault():
    with pytest.raises(InputFaults, match=r"gamma is 4\.0; it must be from 0 to 3"):
        read(case()).problem("a", SetChoice("budget", 4.0))


def test_a_correlation_that_is_none_is_a_fault():
    with pytest.raises(InputFaults, match="no negative eigenvalue"):
        read(case() | {"correlation": -0.9}).problem("a", SetChoice("ellipsoid"))


def test_a_case_that_is_not_there_is_a_fault_that_names_those_that_are():
    with pytest.raises(InputFaults, match="there is no such case; the file has a"):
        read(case()).problem("b", SetChoice())


def test_limits_are_at_the_from_end_or_at_both():
    limited = [
        np.isfinite(
            read(case() | {"current_limit_ends": ends}).problem("a", SetChoice()).limits.limit
        )
        for ends in ("from", "both")
    ]
    assert limited[1].sum() == limited[0].sum() + 2  # two ways of one more current


def test_the_bundled_case_is_read_and_unknown_ones_are_named():
    assert load_day(case_path("bundled:feeder-12bus")).cases == ("1", "2", "3")
    assert case_path("bundled:feeder-12bus") == bundled("flexibility/feeder-12bus.json")
    with pytest.raises(InputFaults, match="known names: feeder-12bus, feeder-12bus-day"):
        case_path("bundled:nothing")
