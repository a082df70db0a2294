"""Every row is watched: trades there and back, however large, in either direction.

A trade that lowers a limit takes rows far from their limits; a larger one back brings them nearer
than they were.  Whatever is confirmed on the way is compared with every vertex of the box and
with a check that knows nothing of what was before.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np
import pandapower as pp
import pytest
from brute_force import Limits, of_rows, violation, worst_values
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from networks import Area
from sampling import examples

from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from security_check.checking.check import SecurityCheck
from security_check.checking.tracked_rows import RowTracker
from security_check.checking.verdict import LimitChange
from security_check.errors import InsecureError
from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.model.envelope import Direction
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.worst_case import corners
from security_check.worst_case.search import WorstPointSearch

ROUNDING = 2e-9  # the check takes 1e-9 for rounding, the reference has its own
ATTEMPTS = 20
INJECTION, WITHDRAWAL = Direction.INJECTION, Direction.WITHDRAWAL


@pytest.fixture(autouse=True)
def tracked_as_on_large_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Track rows of these small networks, too: few customers are searched anew at every trade."""
    monkeypatch.setattr(corners, "_FEW", 0)


@dataclass(frozen=True)
class Star:
    """Lines from one strong transformer, a customer at the end of each; lengths in metres."""

    lengths_m: tuple[int, ...]
    r_ohm_per_km: float = 0.32
    capacity_w: int = 60_000
    band: tuple[float, float] = (1.0, 1.02)
    trafo_mva: float = 2.0
    max_i_ka: float = 0.4
    x_ohm_per_km: float = 0.08
    trafo_percent: tuple[float, float] = (1.7, 4.0)
    voltage: tuple[float, float] = (0.9, 1.1)


@dataclass(frozen=True)
class Order:
    """A part of what the seller holds, in per mille, or so many watts."""

    direction: Direction
    seller: int
    buyer: int
    per_mille: int = 0
    watts: int = 0


@functools.lru_cache(maxsize=64)
def area_of(star: Star) -> Area:
    net = pp.create_empty_network(sn_mva=0.1)
    upper, head = pp.create_bus(net, 20.0), pp.create_bus(net, 0.4)
    pp.create_ext_grid(net, upper)
    pp.create_transformer_from_parameters(
        net,
        upper,
        head,
        sn_mva=star.trafo_mva,
        vn_hv_kv=20.0,
        vn_lv_kv=0.4,
        vkr_percent=star.trafo_percent[0],
        vk_percent=star.trafo_percent[1],
        pfe_kw=0.3,
        i0_percent=0.3,
    )
    for length_m in star.lengths_m:
        bus = pp.create_bus(net, 0.4)
        pp.create_line_from_parameters(
            net,
            head,
            bus,
            length_km=length_m / 1_000,
            r_ohm_per_km=star.r_ohm_per_km,
            x_ohm_per_km=star.x_ohm_per_km,
            c_nf_per_km=0.0,
            max_i_ka=star.max_i_ka,
        )
        pp.create_load(net, bus, p_mw=0.001)
    network = network_from_pandapower(net)
    limits = Limits(VoltageLimits(*star.voltage), InterfaceLimits(*star.band))
    capacity = Capacity.same(network.connection_points, star.capacity_w, star.capacity_w)
    return Area(NetworkGrid(network, limits.voltage, capacity), limits)


def column(check: SecurityCheck, direction: Direction, point: int) -> int:
    return point + (0 if direction is INJECTION else len(check.connection_points))


def traded_w(check: SecurityCheck, order: Order) -> int:
    """Transfer as much as the check lets through, as the exchange does; return how much."""
    held_w = int(check.limits_w[column(check, order.direction, order.seller)])
    wanted_w = min(order.watts or held_w * order.per_mille // 1_000, held_w)
    seller, buyer = (check.connection_points[k] for k in (order.seller, order.buyer))
    for _ in range(ATTEMPTS):
        wanted_w, _ = check.largest_secure_w(order.direction, seller, buyer, wanted_w)
        if not wanted_w:
            return 0
        changes = [
            LimitChange(seller, order.direction, -wanted_w),
            LimitChange(buyer, order.direction, wanted_w),
        ]
        if check.confirm(changes).secure:
            check.commit(changes)
            return wanted_w
    return 0


def tightest(check: SecurityCheck) -> dict[int, float]:
    """Return the smallest headroom of each row, in parts of its scale."""
    scale = check.robust_rows.limits.scale
    found: dict[int, float] = {}
    for row, headroom in zip(check.rows.rows.tolist(), check.headroom.tolist(), strict=True):
        found[row] = min(found.get(row, np.inf), headroom / scale[row])
    return found


def assert_agrees_with_nothing_known(area: Area, check: SecurityCheck) -> None:
    """Compare with every vertex, and with a check built anew over the same envelopes."""
    assert violation(area.flow, area.limits, check.limits_w) <= ROUNDING
    fresh = area.grid.resume(area.limits.interface, check.envelopes())
    np.testing.assert_array_equal(fresh.limits_w, check.limits_w)
    here, there = tightest(check), tightest(fresh)
    for row in set(here) | set(there):
        if min(here.get(row, np.inf), there.get(row, np.inf)) < 0.02:
            name = check.robust_rows.element(row)
            assert here.get(row) == pytest.approx(there.get(row), abs=1e-6), name


def there_and_back(per_mille: list[int], seller: int, buyer: int, direction: Direction) -> list:
    """Return sales of the parts given, and purchases back, in turn."""
    ways = [(seller, buyer), (buyer, seller)]
    return [Order(direction, *ways[k % 2], part) for k, part in enumerate(per_mille)]


@st.composite
def stars(draw: st.DrawFn) -> Star:
    """Draw two to four lines, of which one is much longer than the others."""
    short = draw(st.lists(st.integers(10, 120), min_size=1, max_size=3))
    band = draw(st.sampled_from([(1.0, 1.02), (0.98, 1.0), (0.99, 1.03)]))
    place = draw(st.integers(0, len(short)))
    lengths = [*short[:place], draw(st.integers(500, 1_500)), *short[place:]]
    trafo_mva = draw(st.sampled_from([0.1, 0.25, 2.0]))
    return Star(tuple(lengths), band=band, trafo_mva=trafo_mva)


@st.composite
def markets(draw: st.DrawFn) -> tuple[Star, list[Order]]:
    """Draw a star, and trades of 10 to 100 % of a limit: any, or all with the longest line's."""
    star = draw(stars())
    points = list(range(len(star.lengths_m)))
    parts = draw(st.lists(st.integers(100, 1_000), min_size=3, max_size=10))
    if draw(st.booleans()):
        far = int(np.argmax(star.lengths_m))
        near = draw(st.sampled_from([k for k in points if k != far]))
        return star, there_and_back(parts, far, near, draw(st.sampled_from(Direction)))
    orders = []
    for part in parts:
        seller, buyer = draw(st.permutations(points))[:2]
        orders.append(Order(draw(st.sampled_from(Direction)), seller, buyer, part))
    return star, orders


# A sale of 200 W surveys; of 8,000 W takes bus:2 far from its limit; 12,200 W back is too much.
SOLD_FAR = [
    Order(INJECTION, 0, 1, watts=200),
    Order(INJECTION, 0, 1, watts=8_000),
    Order(INJECTION, 1, 0, watts=12_200),
]


@settings(deadline=None, max_examples=examples(60))
@given(market=markets())
@example(market=(Star((1_000, 20)), SOLD_FAR))
def test_what_is_sold_far_and_bought_back_is_checked_as_if_nothing_had_been(market):
    star, orders = market
    area = area_of(star)
    check = area.allocate()
    assume(check.limits_w.any())
    for order in orders:
        sold = traded_w(check, order)
        check.check_invariants()
        if sold:
            assert_agrees_with_nothing_known(area, check)


@st.composite
def reactive_markets(draw: st.DrawFn) -> tuple[Star, list[Order]]:
    """Draw lines behind a transformer whose reactance counts far more than its resistance.

    A voltage is low where customers withdraw, and where they all inject: with losses in reactances
    several of them have to change sides together.
    """
    lengths = draw(st.lists(st.integers(10, 1_500), min_size=2, max_size=4))
    half, width = draw(st.sampled_from([0.01, 0.02, 0.03, 0.05])), draw(st.sampled_from([0, 2, 10]))
    star = Star(
        tuple(lengths),
        r_ohm_per_km=0.1,
        x_ohm_per_km=draw(st.sampled_from([0.1, 0.3, 0.6])),
        trafo_percent=(0.3, draw(st.sampled_from([4.0, 8.0, 12.0, 20.0]))),
        trafo_mva=draw(st.sampled_from([0.1, 0.2])),
        band=(1.0 - width / 1_000, 1.0 + width / 1_000),
        voltage=(1.0 - half, 1.0 + half),
    )
    pairs = draw(st.lists(st.permutations(range(len(lengths))), min_size=2, max_size=4))
    parts = st.sampled_from([30, 200, 600, 1_000])
    return star, [
        Order(draw(st.sampled_from(Direction)), pair[0], pair[1], draw(parts)) for pair in pairs
    ]


# After the second sale bus:2 is lowest where its customer withdraws and the other three inject.
TURNED = Star(
    (797, 802, 1_147, 1_061),
    r_ohm_per_km=0.1,
    x_ohm_per_km=0.3,
    trafo_percent=(0.3, 20.0),
    trafo_mva=0.2,
    band=(0.99, 1.01),
    voltage=(0.97, 1.03),
)


@settings(deadline=None, max_examples=examples(80))
@given(market=reactive_markets())
@example(market=(TURNED, [Order(INJECTION, 3, 0, 1_000), Order(WITHDRAWAL, 2, 0, 600)]))
def test_where_customers_must_change_sides_together_no_trade_is_insecure(market):
    star, orders = market
    area = area_of(star)
    try:
        check = area.allocate()
    except InsecureError:
        return
    for order in orders:
        if traded_w(check, order):
            check.check_invariants()
            assert violation(area.flow, area.limits, check.limits_w) <= ROUNDING


@settings(deadline=None, max_examples=examples(80))
@given(star=stars(), seed=st.integers(0, 10**6))
def test_no_bound_that_is_kept_from_box_to_box_is_below_the_true_worst_value(star, seed):
    """Of what is tracked and what is surveyed, whatever boxes came before."""
    area, rng = area_of(star), np.random.default_rng(seed)
    check, base = area.allocate(), area.flow.network.base_power_w
    robust, most_w = check.robust_rows, check.limits_w
    tracker = RowTracker(WorstPointSearch(robust))
    limits_w = (most_w * rng.uniform(0.2, 1.0, len(most_w))).astype(int)
    held = tracker.first(limits_w / base)
    for _ in range(5):
        steps = rng.choice([0.5, 0.9, 1.0, 1.0, 1.1, 1.3, 2.0], len(most_w))
        limits_w = np.minimum(limits_w * steps, most_w).astype(int)
        held = tracker.look(held, limits_w / base)
        assert held.survey is not None
        most = held.survey.values.copy()
        np.maximum.at(most, held.near.rows, held.most)
        worst = worst_values(area.flow, area.limits, limits_w)
        for rows, brute in of_rows(robust.monitors, worst):
            own = rows[np.isin(rows, robust.limited)]
            if len(own):
                assert brute <= most[own].max() + 1e-9, robust.element(int(own[0]))


def test_a_row_that_is_dropped_is_missed():
    """What b747d44 mended: a row followed at all its points is in no survey."""
    area = area_of(Star((1_000, 20)))
    check = area.allocate()
    traded_w(check, SOLD_FAR[0])
    robust = check.robust_rows
    follower = RowTracker(WorstPointSearch(robust))
    following = follower.first(check.limits_w / area.flow.network.base_power_w)
    following.check_invariants(robust)
    for k in range(len(following.near.rows)):
        kept = np.flatnonzero(following.near.rows != following.near.rows[k])
        fewer = replace(following, near=following.near.take(kept), most=following.most[kept])
        with pytest.raises(AssertionError, match=robust.element(int(following.near.rows[k]))):
            fewer.check_invariants(robust)


def test_a_row_followed_with_a_wrong_value_is_noticed():
    area = area_of(Star((1_000, 20)))
    check = area.allocate()
    robust = check.robust_rows
    following = RowTracker(WorstPointSearch(robust)).first(
        check.limits_w / area.flow.network.base_power_w
    )
    low = replace(following.near, b=following.near.b + 1e-6)
    with pytest.raises(AssertionError, match="bus:2"):
        replace(following, near=low).check_invariants(robust)
