"""Every scheme on a case whose numbers are found by hand."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from coordination_cases import by_hand
from coordination_oracle import least_cost, unserved
from presence import there

from doe_allocation.coordination.area import Point, validated_limits
from doe_allocation.coordination.coordination import SCHEMES, Scheme
from doe_allocation.coordination.messages import told
from doe_allocation.coordination.plan import Plan, Priority
from doe_allocation.coordination.problem import Linearised, Portfolio
from doe_allocation.coordination.settlement import awards, balances


def run(scheme: Scheme, *portfolios: Portfolio, priority: Priority = Priority.COMMON) -> Plan:
    return SCHEMES[scheme](by_hand(8, *portfolios), priority)


# Activated of: plant at the TSO (50), up a (20), down a (5), Mvar at a (4), up b (30).
# The line of the DSO must lose 2 MW: cheapest by 2 MW down a; but then the TSO lacks 10 MW.
EXPECTED = {
    # The TSO sees no line, and takes what is cheapest.
    Scheme.CENTRALISED: ([0, 8, 0, 0, 0], {"tso": 160}),
    # Down a for the DSO; then up a with Mvar (28 a MW), up b, and the plant for the TSO.
    Scheme.LOCAL: ([3, 2, 2, 4, 5], {"tso": 356, "dso": 10}),
    # No boundary of up a is left, and the TSO buys no Mvar.
    Scheme.DSO_MANAGED: ([5, 0, 2, 0, 5], {"tso": 400, "dso": 10}),
    Scheme.HYBRID: ([5, 0, 2, 0, 5], {"tso": 400, "dso": 10}),
    # The exchange is kept, so the DSO takes the Mvar, and the TSO its plant alone.
    Scheme.SHARED_BALANCING: ([8, 0, 0, 4, 0], {"tso": 400, "dso": 16}),
    # The Mvar relieve the line, and the TSO lacks 8 MW only.
    Scheme.COMMON: ([3, 0, 0, 4, 5], {"tso": 300, "dso": 16}),
    Scheme.COMMON_DECENTRALISED: ([3, 0, 0, 4, 5], {"tso": 300, "dso": 16}),
    Scheme.INTEGRATED: ([3, 0, 0, 4, 5], {"tso": 300, "dso": 16}),
    Scheme.LOCAL_ONLY: ([0, 0, 2, 0, 0], {"dso": 10}),
    Scheme.DISTRIBUTED: ([0, 0, 0, 0, 0], {}),
}


@pytest.mark.parametrize("scheme", EXPECTED)
def test_activations_and_payments_are_those_found_by_hand(scheme: Scheme) -> None:
    plan, problem = run(scheme), by_hand()
    activated, paid = EXPECTED[scheme]
    np.testing.assert_allclose(plan.activated, activated, atol=1e-6)
    given = awards(problem.market.offers, plan.bought)
    found = {name: -amount for name, amount in balances(given).items() if amount < 0}
    assert found == {name: Decimal(amount) for name, amount in paid.items()}
    assert sum(balances(given).values()) == 0


def test_two_stages_come_to_the_common_optimum_and_keep_what_was_agreed() -> None:
    problem, plan = by_hand(), run(Scheme.TWO_STAGE)
    assert problem.market.prices @ plan.activated == pytest.approx(316.0, abs=1e-4)
    out = np.concatenate([problem.by_active, problem.by_reactive]) @ plan.activated
    np.testing.assert_allclose(out, there(plan.targets), atol=2e-6)
    ends = {
        (each.reactive, each.high): each.point
        for each in plan.ends
        if isinstance(each.point, Point)
    }
    assert len(ends) == 4
    # 10 MW down, and 2 MW up a, with Mvar and without down, beside 5 MW of up b less the 2 of a.
    assert ends[False, False].active == pytest.approx(-10.0, abs=1e-6)
    assert ends[False, True].active == pytest.approx(5.0, abs=1e-6)
    # At 5 MW the line needs all 4 Mvar, so there is no other power.
    assert ends[True, False].reactive == pytest.approx(4.0, abs=1e-5)
    assert ends[True, True].reactive == pytest.approx(4.0, abs=1e-5)


def test_the_first_need_costs_most_when_it_does_not_count_with_the_second() -> None:
    problem = by_hand()
    cost = {
        order: problem.market.prices @ run(Scheme.COMMON, priority=order).activated
        for order in Priority
    }
    assert cost[Priority.COMMON] == pytest.approx(316.0)
    assert cost[Priority.DSO] == pytest.approx(366.0)
    # The TSO takes 8 MW of up a first: 160; 10 MW must leave the line: Mvar (16) and 8 MW down
    # (40), which are made up for by up b (150) and 3 MW of the plant (150).
    assert cost[Priority.TSO] == pytest.approx(516.0)


def test_who_values_a_megawatt_most_gets_it() -> None:
    outbid = run(Scheme.INTEGRATED, Portfolio("trader", 3_000_000, 40.0))
    assert outbid.portfolios == pytest.approx([0.0])
    served = run(Scheme.INTEGRATED, Portfolio("trader", 3_000_000, 60.0))
    assert served.portfolios == pytest.approx([3.0])
    np.testing.assert_allclose(served.activated, [6, 0, 0, 4, 5], atol=1e-6)
    # The TSO's 8 MW and the trader's 3 MW share the 11 MW in proportion.
    for k, power in ((0, 6.0), (4, 5.0)):
        assert served.bought["trader"][k] == pytest.approx(3.0 / 11.0 * power)
        assert served.bought["tso"][k] == pytest.approx(8.0 / 11.0 * power)


def test_peers_trade_as_they_arrive_and_never_worsen_a_limit() -> None:
    first = Portfolio("first", 3_000_000, 40.0)
    plan = run(Scheme.DISTRIBUTED, first, Portfolio("second", 9_000_000, 35.0))
    # 2 MW of up a with 4 Mvar (28 a MW), then up b at 30; the second finds 4 MW of up b.
    np.testing.assert_allclose(plan.bought["first"], [0, 2, 0, 4, 1], atol=1e-6)
    np.testing.assert_allclose(plan.bought["second"], [0, 0, 0, 0, 4], atol=1e-6)
    np.testing.assert_allclose(plan.portfolios, [3.0, 4.0], atol=1e-6)
    assert unserved(by_hand(), plan.activated) == pytest.approx(1.0)  # the TSO buys nothing


def test_prices_at_the_interface_are_those_of_the_marginal_plant() -> None:
    for scheme in (Scheme.COMMON, Scheme.COMMON_DECENTRALISED, Scheme.LOCAL):
        np.testing.assert_allclose(run(scheme).prices, [50.0, 0.0], atol=1e-6)
    assert np.isnan(run(Scheme.LOCAL_ONLY).prices).all()


def narrow(*portfolios: Portfolio) -> Linearised:
    """Return the case with 1.9 on the TSO's line: of 8 MW it carries 7.8."""
    problem = by_hand(8, *portfolios)
    return replace(problem, rows=replace(problem.rows, high=np.array([10.0, 1.9])))


def test_a_full_line_of_the_tso_is_in_the_price_at_the_interface() -> None:
    for scheme in (Scheme.COMMON, Scheme.COMMON_DECENTRALISED):
        plan = SCHEMES[scheme](narrow(), Priority.COMMON)
        np.testing.assert_allclose(plan.activated, [2.8, 0, 0, 4, 5], atol=1e-6)
        # 0.2 MW stay unserved at 500. The plant at 50 loads the line by 0.5: its price is 900. What
        # leaves the DSO loads it by 0.1.
        np.testing.assert_allclose(plan.prices, [410.0, 0.0], atol=1e-4)


def test_a_party_that_pays_more_than_the_price_cap_is_served_first() -> None:
    plan = SCHEMES[Scheme.INTEGRATED](
        narrow(Portfolio("trader", 3_000_000, 600.0)), Priority.COMMON
    )
    assert plan.portfolios == pytest.approx([3.0])
    # A MW of up b is worth 500 to the trader and the TSO, who get 3 and 4.8 MW, and costs the TSO
    # 90 on its line.
    assert plan.bought["trader"][4] == pytest.approx(5.0 * (500 * 3.0 / 7.8) / (500 - 90))


def test_rounding_sells_no_watt_beyond_an_offer() -> None:
    (offer, *_) = by_hand().market.offers
    bought = {"tso": np.array([12.0000004]), "dso": np.array([8.0000003])}
    made = awards([offer], bought)
    assert {each.buyer: each.power_w for each in made} == {"tso": 12_000_000, "dso": 8_000_000}


def test_a_common_clearing_tells_networks_and_the_others_do_not() -> None:
    subjects = {s: {each.subject for each in told(run(s).messages)} for s in Scheme}
    assert "network limits" in subjects[Scheme.COMMON]
    assert subjects[Scheme.COMMON_DECENTRALISED] == {"point", "prices", "activation"}
    assert subjects[Scheme.LOCAL] == {"cost curve", "power wanted"}
    assert subjects[Scheme.SHARED_BALANCING] == {"schedule"}
    assert not subjects[Scheme.LOCAL_ONLY]
    (curve,) = [e for e in told(run(Scheme.LOCAL).messages) if e.subject == "cost curve"]
    assert curve.fields == ("active_mw", "reactive_mvar", "cost_eur_per_h")
    assert (curve.sender, curve.receiver, curve.messages) == ("dso", "tso", 1)


def test_a_message_has_the_size_of_its_json() -> None:
    (message,) = run(Scheme.SHARED_BALANCING).messages
    assert message.size == len('{"active_mw":0.0}')


def test_a_dso_validates_up_to_the_validated_loading_and_no_limit_below_what_flows() -> None:
    problem = by_hand()
    for relief, most in ((0.0, 12.0), (2.2, 9.8), (3.0, 9.5)):  # 12 MW less the relief, of 10 MW
        power = np.array([0.0, 0.0, relief, 0.0, 0.0])
        assert validated_limits(problem, 0, power)[1][0] == pytest.approx(most)


def test_the_optimum_by_hand_is_the_oracles() -> None:
    assert least_cost(by_hand()) == pytest.approx(316.0)
