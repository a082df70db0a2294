"""Needs that several parties pay, and linked orders: all that is bought for a need at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from exchange.flexibility.largest_remainder import shared
from exchange.flexibility.products.payments import Cause, Payment
from exchange.flexibility.products.vocabulary import Award, Need


@dataclass(frozen=True, slots=True)
class LinkedOrder:
    """What a session bought for a need in an interval, as one order.

    Parameters
    ----------
    session, need, interval
        Of what.
    upward_w, downward_w
        Watts bought and sold; equal in a balanced session, so that no party's balance changes.
    amount
        What it costs in tick-watts: the spread, where it is balanced.  Below 0 it is a gain.
    parts
        What each party pays of it; the parts add up.
    """

    session: str
    need: str
    interval: int
    upward_w: int
    downward_w: int
    amount: int
    parts: tuple[tuple[str, int], ...]


def linked_orders(awards: Iterable[Award], needs: Sequence[Need]) -> list[LinkedOrder]:
    """Return the awards of each session, need and interval as one order."""
    weights = {each.name: dict(each.shares) or {each.buyer: 1} for each in needs}
    groups: dict[tuple[str, str, int], list[Award]] = {}
    for award in awards:
        groups.setdefault((award.session, award.need, award.interval), []).append(award)
    found = []
    for (session, need, interval), own in groups.items():
        amount = sum(each.amount for each in own)
        up_w = sum(each.quantity_w for each in own if int(each.direction.sign) > 0)
        down_w = sum(each.quantity_w for each in own) - up_w
        parts = shared(amount, weights[need])
        found.append(
            LinkedOrder(session, need, interval, up_w, down_w, amount, tuple(parts.items()))
        )
    return found


def through_market(
    awards: Sequence[Award], needs: Sequence[Need], market: str
) -> tuple[list[Award], list[Payment]]:
    """Return the awards as they are paid, and what parties pay of needs that they share.

    The market pays the providers of a shared need, and is paid by its parties, so it keeps nothing.
    """
    several = {each.name for each in needs if each.shares}
    paid = [replace(each, buyer=market) if each.need in several else each for each in awards]
    parts = []
    for order in linked_orders([each for each in awards if each.need in several], needs):
        for party, amount in order.parts:
            payer, payee = (party, market) if amount >= 0 else (market, party)
            watts = max(order.upward_w, order.downward_w)
            parts.append(
                Payment(
                    Cause.SHARE,
                    order.need,
                    payer,
                    payee,
                    order.interval,
                    watts,
                    0,
                    abs(amount),
                    f"its part of {order.amount} tick-watts for {watts} W.",
                )
            )
    return paid, parts
