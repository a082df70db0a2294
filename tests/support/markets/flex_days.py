"""Small random days of a flexibility market: two zones, two feeders, a few resources and offers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import strategies as st

from doe_allocation.procurement.choices import FlexDirection
from exchange.flexibility.products.flex_day import FlexDay, Phase
from exchange.flexibility.products.sessions import Grid, SpotRules
from exchange.flexibility.products.vocabulary import (
    FlexContract,
    FlexProduct,
    Goal,
    Need,
    Party,
    Pricing,
    Relief,
    Resource,
    Role,
    SpotOffer,
)
from security_check.model.linear_network import LinearNetwork, ReactiveBranch

LOT = 1000
ZONES = ("north", "south")
UP, DOWN = FlexDirection.UPWARD, FlexDirection.DOWNWARD
PRODUCT = FlexProduct("p", (UP, DOWN), (Role.DSO, Role.TSO), LOT, LOT)
PARTIES = {
    each.name: each
    for each in (
        Party("dso", Role.DSO),
        Party("tso", Role.TSO),
        Party("market", Role.MARKET),
        Party("a", Role.PROVIDER),
        Party("b", Role.PROVIDER),
    )
}


def grid_of(injection_w: np.ndarray, rating_w: float = 5.0 * LOT) -> Grid:
    """Return a substation with two feeders, ``injection_w`` of shape (intervals, 3)."""
    branches = [ReactiveBranch(f"to-{zone}", "hv", zone, 0.1) for zone in ZONES]
    limits = np.full(2, rating_w)
    network = LinearNetwork.of_reactances(("hv", *ZONES), "hv", branches, -limits, limits)
    return Grid(network, injection_w, "dso")


def day_of(phases: tuple[Phase, ...], **parts: object) -> FlexDay:
    """Return a day of hours of the one product."""
    usual: dict[str, object] = {
        "start": datetime(2027, 1, 1, tzinfo=UTC),
        "interval": timedelta(hours=1),
        "count": 2,
        "parties": PARTIES,
        "products": {PRODUCT.name: PRODUCT},
        "resources": {},
        "contracts": {},
        "needs": (),
        "forward_offers": (),
        "offers": (),
        "able_w": {},
        "grid": None,
    }
    return FlexDay(**{**usual, **parts, "phases": phases})  # type: ignore[arg-type]


@st.composite
def spot_days(draw: st.DrawFn, count: int, offers: int, most_lots: int = 2) -> FlexDay:
    """A day with one spot session, of any rules but the balanced ones."""
    resources = [
        Resource(
            f"r{k}",
            draw(st.sampled_from(("a", "b"))),
            zone := draw(st.sampled_from(ZONES)),
            LOT * draw(st.integers(1, most_lots)),
            LOT * draw(st.integers(1, most_lots)),
            max_duration_s=draw(st.sampled_from((None, 3600))),
            bus=zone,
            registered=draw(st.integers(0, 9)) < 9,
        )
        for k in range(draw(st.integers(1, offers)))
    ]
    by_name = {each.name: each for each in resources}
    product_of = st.sampled_from(sorted(by_name))
    made, contracts = [], {}
    for k in range(draw(st.integers(1, offers))):
        resource = by_name[draw(product_of)]
        direction = draw(st.sampled_from((UP, UP, UP, DOWN)))
        quantity_w = LOT * draw(st.integers(1, resource.able_w(direction) // LOT))
        least_w = draw(st.sampled_from((0, 0, quantity_w)))
        first = draw(st.integers(0, count - 1))
        window = range(first, draw(st.integers(first + 1, count)))
        block = draw(st.booleans())
        price = draw(st.integers(0, 5))
        made.append(
            SpotOffer(
                f"o{k}",
                resource.name,
                "p",
                direction,
                window,
                quantity_w,
                least_w,
                price,
                k,
                block,
            )
        )
    if draw(st.booleans()):
        resource = by_name[draw(product_of)]
        contracts["c"] = FlexContract(
            "c", resource.name, resource.provider, "dso", "p", UP, range(count),
            LOT * draw(st.integers(1, resource.up_w // LOT)), 1, draw(st.integers(0, 5)), True, 7,
        )  # fmt: skip
    flows = draw(st.lists(st.integers(-7, 7), min_size=2 * count, max_size=2 * count))
    injection = np.zeros((count, 3))
    injection[:, 1:] = LOT * np.array(flows, dtype=float).reshape(count, 2)
    needs = [_need(draw, k, count, injection) for k in range(draw(st.integers(1, 2)))]
    able_w = {}
    if draw(st.integers(0, 4)) == 0:
        able_w[draw(product_of), 0] = LOT * draw(st.integers(0, 1))
    rules = SpotRules(
        "spot",
        draw(st.sampled_from(list(Goal))),
        draw(st.sampled_from(list(Pricing))),
        within_network=draw(st.booleans()),
        obligations=draw(st.booleans()),
        release=draw(st.booleans()),
    )
    return day_of(
        (rules,),
        count=count,
        resources=by_name,
        contracts=contracts,
        needs=tuple(needs),
        offers=tuple(made),
        able_w=able_w,
        grid=grid_of(injection),
    )


def _need(draw: st.DrawFn, k: int, count: int, injection: np.ndarray) -> Need:
    buyer = draw(st.sampled_from(("dso", "tso")))
    cap = draw(st.integers(2, 9))
    if draw(st.booleans()):
        zone = draw(st.sampled_from((0, 1)))
        over = -injection[:, 1 + zone] - 5 * LOT  # withdrawal beyond the rating
        if over.max() > 0.0:
            quantity = tuple(int(max(each, 0.0)) for each in over)
            relief = Relief(f"to-{ZONES[zone]}", 1)
            return Need(f"n{k}", buyer, "p", range(count), quantity, cap, relief=relief)
    direction = draw(st.sampled_from((UP, UP, UP, DOWN)))
    quantity = tuple(LOT * draw(st.integers(1, 3)) for _ in range(count))
    zone_name = draw(st.sampled_from((None, None, *ZONES)))
    return Need(f"n{k}", buyer, "p", range(count), quantity, cap, direction, zone_name)
