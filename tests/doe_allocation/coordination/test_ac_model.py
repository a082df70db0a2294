"""A small hierarchy with a market in it: rows, power flows and results against pandapower."""

from __future__ import annotations

from decimal import Decimal
from functools import cache

import numpy as np
import pytest
from coordination_networks import LOADINGS, OFFERS, model, solved_by_pandapower

from doe_allocation.coordination.coordination import Outcome, Scheme, coordinate
from doe_allocation.coordination.plan import Priority
from doe_allocation.coordination.problem import TSO
from doe_allocation.hierarchy.joint_model.quantities import CURRENT


@cache
def outcome(scheme: Scheme, priority: Priority = Priority.COMMON) -> Outcome:
    return coordinate(model(), scheme, priority)


def test_areas_are_the_networks_below_an_interface() -> None:
    market = model().market
    assert market.areas == ("middle",)
    assert market.area.tolist() == [TSO, 0, 0, 0, 0, 0, 0]
    # The park keeps its power factor of 0.97.
    assert abs(market.change[1].imag) == pytest.approx(np.tan(np.arccos(0.97)))
    assert market.change[3] == -1j


def test_rows_are_the_derivatives_of_the_power_flow() -> None:
    ac = model()
    at = 0.4 * ac.market.sizes
    problem = ac.linearised(ac.point(at))
    for k in range(len(OFFERS)):
        step = np.zeros(len(at))
        step[k] = 1e-4 * ac.market.sizes[k]
        values = [
            ac.linearised(ac.point(at + sign * step)).rows.value - problem.rows.value
            for sign in (-1.0, 1.0)
        ]
        slope = (values[1] - values[0]) / (2.0 * step[k])
        np.testing.assert_allclose(slope, problem.rows.A[:, k], atol=2e-4, rtol=2e-4)


def test_an_area_reaches_the_tso_through_its_interface_only() -> None:
    problem = model().linearised(model().base)
    tso, below = problem.rows.area == TSO, problem.market.area != TSO
    assert tso.any()
    out = np.concatenate([problem.by_active, problem.by_reactive])[:, below]
    by_power = problem.by_interface[tso] @ out
    np.testing.assert_allclose(by_power, problem.rows.A[tso][:, below], atol=1e-7)


@pytest.mark.parametrize("scheme", Scheme)
def test_pandapower_finds_the_same_currents_and_overloads(scheme: Scheme) -> None:
    ac, result = model(), outcome(scheme)
    net = solved_by_pandapower(result.point)
    items, high = ac.quantities.items, ac.quantities.high
    over = set()
    for k, each in enumerate(items):
        table, _, side = each.element.partition(" ")
        if each.kind == CURRENT and table.startswith("line"):
            index = ac.flow.joined.index(each.operator, int(table.partition(":")[2]))
            ampere = 1e3 * net.res_line[f"i_{side}_ka"].at[index]
            assert result.point.values[k] * each.per_unit == pytest.approx(ampere, abs=1e-4)
            rating = high[k] * each.per_unit * LOADINGS.get((each.operator, table), 1.0)
            if ampere > rating * (1 + 1e-5):
                over.add(f"{each.operator} {each.element}")
    found = {each.element for each in result.overloads if each.kind == CURRENT}
    assert found == over


def test_what_is_delivered_is_what_pandapower_finds_at_the_interface() -> None:
    result = outcome(Scheme.COMMON)
    net, before = solved_by_pandapower(result.point), solved_by_pandapower(model().base)
    trafo = model().flow.joined.index("middle", 0)
    change = before.res_trafo.p_hv_mw.at[trafo] - net.res_trafo.p_hv_mw.at[trafo]
    plant = sum(a.power_w for a in result.awards if a.offer.name == "plant") / 1e6
    assert result.delivered_mw == pytest.approx(plant + change, abs=1e-6)
    assert result.unserved_mw == pytest.approx(0.0, abs=2e-6)


def test_what_parties_buy_does_not_serve_the_tso() -> None:
    result = outcome(Scheme.DISTRIBUTED)
    assert result.plan.portfolios == pytest.approx([1.0])
    assert result.delivered_mw == pytest.approx(1.0, abs=1e-4)
    assert result.unserved_mw == pytest.approx(5.0, abs=1e-4)


def test_schemes_that_see_the_networks_keep_their_limits() -> None:
    before = {each.element for each in model().overloads(model().base)}
    assert {"middle line:0 from", "top line:0 from"} <= before
    blind = outcome(Scheme.CENTRALISED)
    assert blind.overloads[0].operator == "middle"
    assert blind.cost < outcome(Scheme.COMMON).cost  # cheapest on paper
    for scheme in (
        Scheme.LOCAL,
        Scheme.DSO_MANAGED,
        Scheme.COMMON,
        Scheme.COMMON_DECENTRALISED,
        Scheme.INTEGRATED,
        Scheme.HYBRID,
        Scheme.TWO_STAGE,
    ):
        result = outcome(scheme)
        assert not result.overloads, scheme
        assert result.unserved_mw <= 1e-4, scheme
        if scheme is not Scheme.INTEGRATED:  # it serves the trader, too
            assert result.cost >= outcome(Scheme.COMMON).cost * Decimal("0.9999"), scheme
    common = float(outcome(Scheme.COMMON).cost)
    assert float(outcome(Scheme.COMMON_DECENTRALISED).cost) == pytest.approx(common, rel=1e-3)


def test_a_line_that_carries_the_whole_exchange_is_not_relieved_while_the_exchange_stays() -> None:
    result = outcome(Scheme.SHARED_BALANCING)
    assert {each.element for each in result.overloads} == {
        "middle line:0 from",
        "middle line:0 to",
    }
    exchange = [model().interface(at, 0)[0] for at in (model().base, result.point)]
    assert exchange[0] == pytest.approx(exchange[1], abs=1e-5)
    assert result.unserved_mw == pytest.approx(0.0, abs=1e-5)


def test_stated_ranges_are_secure_at_both_ends_and_the_agreed_power_is_kept() -> None:
    result = outcome(Scheme.TWO_STAGE)
    assert {(e.quantity, e.high) for e in result.ends} == {
        (quantity, high) for quantity in ("active", "reactive") for high in (False, True)
    }
    assert not any(each.overloads for each in result.ends)
    low, high = (e.found for e in result.ends if e.quantity == "active")
    active, reactive, _ = model().interface(result.point, 0)
    assert low - 1e-3 <= active <= high + 1e-3
    assert result.plan.targets is not None
    np.testing.assert_allclose([active, reactive], result.plan.targets, atol=1e-4)


@pytest.mark.parametrize("scheme", Scheme)
def test_an_area_may_have_no_offers(scheme: Scheme) -> None:
    result = coordinate(model(OFFERS[:1]), scheme)
    buyers = {each.buyer for each in result.awards}
    assert buyers <= {"top", "trader"}
    assert any(each.element.startswith("middle line:0") for each in result.overloads)


def test_an_exchange_that_no_offer_keeps_stays_as_near_as_it_can() -> None:
    kept = tuple(each for each in OFFERS if each.name in ("plant", "park up"))
    ac, result = model(kept), coordinate(model(kept), Scheme.SHARED_BALANCING)
    assert result.unserved_mw <= 1e-4
    exchange = [ac.interface(at, 0)[0] for at in (ac.base, result.point)]
    assert exchange[0] == pytest.approx(exchange[1], abs=2e-3)


def test_a_scheme_with_an_order_of_its_own_takes_no_priority() -> None:
    with pytest.raises(ValueError, match=r"local has its own order of needs; common and integrat"):
        coordinate(model(), Scheme.LOCAL, Priority.TSO)
