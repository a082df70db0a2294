"""Time-shiftable offers, drawn, and every profile that one allows."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

from hypothesis import strategies as st

from exchange.flexibility.flex_offers.flex_offer import EnergySlice, FlexOffer
from security_check.model.envelope import Direction


@st.composite
def flex_offers(
    draw: st.DrawFn,
    *,
    largest: int = 3_000,
    slices: int = 5,
    totals: st.SearchStrategy[bool] | None = None,
    name: str = "f",
) -> FlexOffer:
    """Draw an offer of withdrawal at one price."""
    pairs = draw(
        st.lists(
            st.tuples(st.integers(0, largest), st.integers(0, largest)), min_size=1, max_size=slices
        )
    )
    parts = tuple(EnergySlice(min(pair), max(pair)) for pair in pairs)
    low, high = sum(each.least_w for each in parts), sum(each.most_w for each in parts)
    least_total: int | None = None
    most_total: int | None = None
    if draw(st.booleans() if totals is None else totals):
        least_total = draw(st.integers(low, high))
        most_total = draw(st.integers(least_total, high))
    earliest = draw(st.integers(0, 4))
    return FlexOffer(
        name,
        Direction.WITHDRAWAL,
        earliest,
        earliest + draw(st.integers(0, 3)),
        parts,
        least_total,
        most_total,
        1_000,
        draw(st.integers(0, 50)),
    )


def numbered(offers: list[FlexOffer]) -> list[FlexOffer]:
    return [replace(each, offer_id=f"f{k}") for k, each in enumerate(offers)]


def all_watts(offer: FlexOffer) -> set[tuple[int, ...]]:
    """Every profile of powers that an offer allows."""
    ranges = [range(each.least_w, each.most_w + 1) for each in offer.slices]
    return {
        watts
        for watts in product(*ranges)
        if offer.lowest_total <= sum(watts) <= offer.highest_total
    }
