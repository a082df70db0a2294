"""Every figure of docs/flexibility.md about the published case, computed anew."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import numpy as np
import pytest
from presence import there
from procurement_cases import injected_w, problem_of, published_case, published_problem
from random_feeders import Feeder

from doe_allocation.procurement.choices import CurrentShape
from doe_allocation.procurement.procurement import Procured, ProcurementSettings, procure
from doe_allocation.procurement.quantities import QuantityKind
from doe_allocation.procurement.shortfall import InsufficientFlexibilityError

TEXT = (Path(__file__).parents[3] / "docs" / "flexibility.md").read_text(encoding="utf-8")
BUSES, BRANCH = 11, 1
BASE_A = 1e6 / (np.sqrt(3.0) * 8400.0)
CASES = ("1", "2", "3")
PLANES = ProcurementSettings()
CIRCLE = ProcurementSettings(shape=CurrentShape.REFINED)
EXACT = ProcurementSettings(ac_exact=True)


@functools.cache
def found(case: str, how: ProcurementSettings, within: str = "box") -> Procured:
    return procure(published_problem(case, within), how, np.random.default_rng(0))


def row(label: str) -> list[str]:
    """Return the cells behind the first cell of a table's row."""
    rows = [line for line in TEXT.splitlines() if line.startswith(f"| {label} |")]
    assert len(rows) == 1, label
    return [cell.strip() for cell in rows[0].strip("|").split("|")][1:]


def activated(case: str, how: ProcurementSettings, within: str = "box") -> str:
    """Return the kilowatts at buses 4, 6 and 9 as the tables write them."""
    power = found(case, how, within).local.power * 1e3
    parts = [(kw, bus) for kw, bus in zip(power, (4, 6, 9), strict=True) if kw > 5e-4]
    return " and ".join(f"{kw:.3f}".removesuffix(".000") for kw, _ in parts) or "0"


def numbers(cell: str) -> list[str]:
    """Return the numbers of a cell, without the buses that it names."""
    return re.findall(r"\d[\d.]*", re.sub(r"at bus \d+", "", cell))


@pytest.mark.parametrize(
    ("label", "how"),
    [("32 planes: activated", PLANES), ("circle (refined planes, cones)", CIRCLE),
     ("AC-exact", EXACT)],
)  # fmt: skip
def test_activations(label, how):
    stated = [numbers(cell) for cell in row(label)]
    assert stated == [numbers(activated(case, how)) for case in CASES]
    power = found("3", how).local.power
    assert power[0] > 0.0
    assert power[1] == pytest.approx(published_problem("3").sizes[1])
    assert power[2] == 0.0


@pytest.mark.parametrize(
    ("label", "how", "what"),
    [
        ("robust current 2-3 after", PLANES, "bound"),
        ("AC worst case 2-3 after", PLANES, "ac_worst"),
        ("its AC worst case", CIRCLE, "ac_worst"),
    ],
)
def test_currents_after_activation(label, how, what):
    values = [getattr(found(case, how).after, what)[BUSES + BRANCH] * BASE_A for case in CASES]
    assert row(label) == [f"{value:.3f} A" for value in values]
    if what == "ac_worst":
        feeder = Feeder(published_case())
        for case, value in zip(CASES, values, strict=True):
            injected = injected_w(published_problem(case), found(case, how).local.power)
            assert feeder.worst_current_a(BRANCH, injected, case) == pytest.approx(value, rel=1e-9)


def test_the_fullest_limit_when_exact_and_what_an_ampere_saves():
    attacks = [100.0 * (1.0 + there(found(case, EXACT).after.finding).violation) for case in CASES]
    assert row("its AC worst case, by the adversary") == [f"{each:.2f} %" for each in attacks]
    saved = []
    for case in CASES:
        each = found(case, EXACT)
        (k,) = (k for k, q in enumerate(each.quantities) if q.kind is QuantityKind.CURRENT)
        saved.append(each.local.worth[k] / BASE_A)
    assert row("one ampere more saves") == [
        f"{e:.2f} EUR/h".replace("0.00 EUR/h", "0") for e in saved
    ]
    for case, per_a in zip(("2", "3"), saved[1:], strict=True):
        costs = []
        for limit in (116.99, 117.01):
            wide = published_case() | {"current_limit_a": {"2-3": limit}}
            problem = problem_of(wide, name=case)
            power = procure(problem, EXACT, np.random.default_rng(0)).local.power
            costs.append(problem.prices @ power)
        assert (costs[0] - costs[1]) / 0.02 == pytest.approx(per_a, rel=1e-3)


@pytest.mark.parametrize("case", ["1", "2"])
def test_the_published_columns(case):
    each, published = found(case, PLANES), published_case()["published"]
    real, imaginary = np.array(each.model.deviations(BUSES + BRANCH)) * BASE_A
    label = {"1": "case 1 (2.5 and 7.5 %)", "2": "case 2 (5 and 15 %)"}[case]
    stated = row(f"deviation of current 2-3, {label}")
    pair = published["robust_current_deviation_a"][case]["2-3"]
    assert stated[0] == f"{pair[0]} - j {-pair[1]:.4f} A"
    assert stated[1] == f"{real:.4f} - j {imaginary:.4f} A"
    parts = [abs(real / pair[0] - 1.0), abs(imaginary / -pair[1] - 1.0)]
    assert stated[2] == ", ".join(f"{100 * part:.2f} %" for part in parts)
    for kind, what, key in (
        ("robust", "bound", "robust_current_2_3_after_a"),
        ("AC", "ac_worst", "ac_power_flow_current_2_3_after_a"),
    ):
        value = getattr(each.after, what)[BUSES + BRANCH] * BASE_A
        cells = row(f"{kind} current 2-3 after, case {case}")
        assert cells[:2] == [f"{published[key][case]:.2f} A", f"{value:.3f} A"]
        assert cells[2] == f"{100 * abs(value / published[key][case] - 1.0):.2f} %"


def test_all_other_deviations_are_within_what_is_stated():
    worst = 0.0
    published = published_case()["published"]["robust_current_deviation_a"]
    for case in ("1", "2"):
        for name, (real, imaginary) in published[case].items():
            k = next(k for k, b in enumerate(published_case()["branches"]) if b["id"] == name)
            ours = np.array(found(case, PLANES).model.deviations(BUSES + k)) * BASE_A
            worst = max(worst, *abs(ours / np.abs([real, imaginary]) - 1.0))
    assert row("all other deviations, both cases")[2] == "below 0.05 %"
    assert worst < 5e-4


def test_what_the_polygon_gives_away_and_what_a_kilowatt_relieves():
    each = found("2", PLANES)
    (k,) = (k for k, q in enumerate(each.quantities) if q.kind is QuantityKind.CURRENT)
    given = there(each.given_away)
    away = given.by_quantity[k] * BASE_A
    assert row("given away by 32 planes, case 2")[1] == f"{away:.3f} A"
    assert f"gives away {away:.3f} A ({100 * away / 117.0:.2f} %)" in TEXT
    assert f"the circle needs {given.power.sum() * 1e3:.3f} kW" in TEXT
    error = each.after.error[BUSES : 2 * BUSES].max() * BASE_A
    assert f"linearisation error, {error:.3f} A in case 2" in TEXT
    feeder, problem = Feeder(published_case()), published_problem("2")
    injected = injected_w(problem, each.local.power)
    worst = [
        np.abs(feeder.linear(kw, feeder.vertices("2"))[1][BRANCH]).max()
        for kw in (injected * (1.0 - 1e-3 / each.local.power.max()), injected)
    ]
    assert f"{worst[0] - worst[1]:.4f} A by the linear model" in TEXT


@pytest.mark.parametrize("how", [PLANES, EXACT], ids=["planes", "exact"])
def test_the_table_of_sets(how):
    column = 0 if how is PLANES else 1
    labels = {
        "`gamma=0`, 1, 2": ("gamma=0", "gamma=1", "gamma=2"),
        "`gamma=7`, `box`": ("gamma=7", "box"),
        "`ellipsoid`": ("ellipsoid",),
        **{f"`gamma={g}`": (f"gamma={g}",) for g in (3, 4, 5, 6)},
    }
    for label, sets in labels.items():
        for within in sets:
            total = found("2", how, within).local.power.sum() * 1e3
            stated = row(label)[column]
            assert stated == (f"{total:.3f}" if total > 5e-4 else "0"), within
    ball, box = (found("3", how, each).local.power.sum() * 1e3 for each in ("ellipsoid", "box"))
    if how is PLANES:
        assert f"needs {ball:.3f} kW instead of {box:.3f} kW" in TEXT
    else:
        assert f"(AC-exact: {ball:.3f} instead of {box:.3f} kW)" in TEXT


def test_the_shortfall_at_66_amperes():
    case = published_case() | {"current_limit_a": {"2-3": 66.0}}
    with pytest.raises(InsufficientFlexibilityError) as caught:
        procure(problem_of(case, name="2"), PLANES, np.random.default_rng(0))
    assert str(caught.value) in " ".join(TEXT.split())
