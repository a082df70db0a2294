"""Buy-back: the DSO buys limits from resting sell orders before it curtails any.

When new limits make the envelopes held insecure, the DSO first buys from the resting sell orders
of the intervals and directions for which a buy-back is in force.  The cheapest set that relieves
the rows comes from a linear program,

    min  sum_o p_o x_o + sum_i P_i c_i
    s.t. sum_o A_k,o x_o + sum_i A_k,i c_i >= excess_k   per row over its limit
         0 <= x_o <= r_o,   sum_{o in direction d} x_o <= Q_d,   0 <= c_i

with p_o, r_o the limit price and the rest of sell order o, Q_d the quantity wanted of direction d,
and c_i the curtailment of limit i at a price P_i just above the DSO's limit price, so that only
what cannot be bought is curtailed.  The sellers are paid their limit prices, and the DSO retires
the watts.  The rows are linear here, so a little may be left for curtailment.

A buy-back is not a trade: it takes place in a call and while trading is halted, too, because the
curtailment that it replaces would not wait either.  Orders under a condition (all-or-none, a
minimum, legs of joint orders) are not bought, because the rows decide the quantity.  The hidden
parts of icebergs are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from exchange.clearing.highs import INFINITY, MixedProgram
from exchange.clearing.problem import ClearingError
from exchange.clearing.work_budget import LOTS, RemainingWork
from exchange.handlers.fills import fill_of
from exchange.market.matched_flexibility import network_of
from exchange.state.recording import EventRecorder
from exchange.state.session import Session
from exchange.vocabulary.events import Traded
from exchange.vocabulary.network_port import Networks
from exchange.vocabulary.orders import Order
from orderbook.order import Side
from security_check.arrays import FloatArray
from security_check.checking.linear_rows import LinearRows
from security_check.errors import GridError
from security_check.model.envelope import Direction
from security_check.model.limits import InterfaceLimits


@dataclass(frozen=True, slots=True)
class _BuyBackCandidate:
    """A sell order that may be bought, and its column among the limits."""

    order: Order
    column: int


def buy_back(
    session: Session, limits: InterfaceLimits, record: EventRecorder, grid: Networks
) -> None:
    """Buy what relieves the network under new limits, within the buy-backs in force.

    Where the network model fails nothing is bought; curtailment comes next.
    """
    offers = _offers(session, grid.connection_points)
    if not offers:
        return
    try:
        network = network_of(session, grid)
        rows = network.rows_under(limits, session.holdings.envelope_set())
        bought_w = _cheapest(rows, offers, session, record.state.rules.lot_w)
    except (GridError, ClearingError):
        return
    fills = tuple(
        fill_of(offer.order, quantity_w, -offer.order.limit_price_ticks * quantity_w)
        for offer, quantity_w in zip(offers, bought_w, strict=True)
        if quantity_w
    )
    if not fills:
        return
    fullest = int(np.argmin(rows.headroom))
    record.trade(
        Traded(
            sequence=record.next_sequence,
            time=record.now,
            trade_id=record.state.next_trade_id,
            fills=fills,
            taker_order_id=None,
            rent=0,
            tier="linear",
            binding_element=rows.element(fullest),
            loading=1.0,
            buy_back=True,
        )
    )


def _offers(session: Session, connection_points: Sequence[str]) -> list[_BuyBackCandidate]:
    """Return the sell orders within the DSO's limit prices, oldest first."""
    place = {point: i for i, point in enumerate(connection_points)}
    found = []
    for direction, wanted in session.buy_backs.items():
        offset = 0 if direction is Direction.INJECTION else len(place)
        orders = session.books[direction].orders(Side.SELL, wanted.limit_price_ticks)
        found += [
            _BuyBackCandidate(order, offset + place[order.connection_point]) for order in orders
        ]
    return sorted(found, key=lambda offer: offer.order.order_id)


def _cheapest(
    rows: LinearRows, offers: Sequence[_BuyBackCandidate], session: Session, lot_w: int
) -> list[int]:
    """Return the quantity to buy of each offer, in whole lots, watts."""
    over = np.flatnonzero(rows.headroom < 0.0)
    if not over.size:
        return [0] * len(offers)
    directions = list(session.buy_backs)
    per_lot = rows.A[over] * (lot_w / rows.base_power_w)
    scale = np.maximum(per_lot.max(axis=1, initial=0.0), 1e-300)
    per_lot, excess = per_lot / scale[:, None], -rows.headroom[over] / scale
    columns = np.array([offer.column for offer in offers])
    prices = np.array([offer.order.limit_price_ticks for offer in offers], dtype=float)
    limits = per_lot.shape[1]
    dearest = 1.0 + max(each.limit_price_ticks for each in session.buy_backs.values())
    of_direction = np.array(
        [[offer.order.direction is direction for offer in offers] for direction in directions],
        dtype=float,
    )
    coefficients = np.block([
        [per_lot[:, columns], per_lot],
        [of_direction, np.zeros((len(directions), limits))],
    ])  # fmt: skip
    most = np.array([each.quantity_w // lot_w for each in session.buy_backs.values()], dtype=float)
    solution = MixedProgram(
        value=-np.concatenate([prices, np.full(limits, dearest)]),
        coefficients=coefficients,
        row_lower=np.concatenate([excess, np.zeros(len(directions))]),
        row_upper=np.concatenate([np.full(len(excess), INFINITY), most]),
        lower=np.zeros(len(offers) + limits),
        upper=np.concatenate(
            [
                np.array([offer.order.remaining_w // lot_w for offer in offers], dtype=float),
                np.full(limits, INFINITY),
            ]
        ),
        integer=np.zeros(len(offers) + limits, dtype=bool),
    ).solve(0.0, RemainingWork(LOTS))
    if solution is None:
        return [0] * len(offers)
    return _in_lots(solution[: len(offers)], offers, session, lot_w)


def _in_lots(
    lots: FloatArray,
    offers: Sequence[_BuyBackCandidate],
    session: Session,
    lot_w: int,
) -> list[int]:
    """Round purchases up to whole lots, within the quantities that the DSO wants."""
    left_w = {direction: each.quantity_w for direction, each in session.buy_backs.items()}
    found = []
    for wanted, offer in zip(lots, offers, strict=True):
        order = offer.order
        room_w = min(left_w[order.direction] // lot_w * lot_w, order.remaining_w)
        quantity_w = min(int(np.ceil(wanted - 1e-6)) * lot_w, room_w)
        left_w[order.direction] -= quantity_w
        found.append(quantity_w)
    return found
