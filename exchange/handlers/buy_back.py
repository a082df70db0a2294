"""Buy-back: the DSO buys what relieves the network before it curtails any.

When new limits make the envelopes held insecure, the DSO first buys, for each direction for which
a buy-back is in force, from resting sell orders of limits and, where flexibility is traded, from
resting offers of it: downward beside limits of injection, upward beside those of withdrawal.
Whichever is cheaper, in one linear program,

    min  sum_o p_o x_o + sum_i P_i c_i
    s.t. sum_o R_k,o x_o + sum_i A_k,i c_i >= excess_k   per row over its limit, or that an offer
                                                          of flexibility would load
         0 <= x_o <= r_o,   sum_{o in direction d} x_o <= Q_d,   0 <= c_i

with p_o, r_o the limit price and the rest of order o, R_k,o what a watt of it relieves row k by
(for a sell order the row's coefficient, for flexibility that of the injection at its bus), Q_d the
quantity wanted of direction d, and c_i the curtailment of limit i at a price P_i just above the
DSO's limit price, so that only what cannot be bought is curtailed.  The sellers are paid their
limit prices, and the DSO retires the watts.  The rows are linear here, so a little may be left for
curtailment.

A buy-back is not a trade: it takes place in a call and while trading is halted, too, because the
curtailment that it replaces would not wait either.  Orders under a condition (all-or-none, a
minimum, legs of joint orders) are not bought, because the rows decide the quantity.  The hidden
parts of icebergs are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from exchange.clearing.highs import INFINITY, MixedProgram
from exchange.clearing.problem import ClearingError
from exchange.clearing.work_budget import LOTS, RemainingWork
from exchange.handlers.fills import fill_of
from exchange.market.matched_flexibility import network_of, network_with
from exchange.state.recording import EventRecorder
from exchange.state.session import Session
from exchange.vocabulary.events import Traded
from exchange.vocabulary.flexibility import FlexibilityFill, FlexibilityOrder, relieved_by
from exchange.vocabulary.flexibility_events import FlexibilityMatched
from exchange.vocabulary.network_port import Networks, network_in
from exchange.vocabulary.orders import Order
from orderbook.order import Side
from security_check.arrays import FloatArray
from security_check.checking.linear_rows import LinearRows
from security_check.errors import GridError
from security_check.model.envelope import Direction
from security_check.model.limits import InterfaceLimits

_ROUNDING = 1e-6  # lots that are rounding of the solver


@dataclass(frozen=True, slots=True)
class _Candidate:
    """An order that the DSO may buy.

    ``direction`` is that of the buy-back that pays for it, and ``relief`` has shape (r,): what a
    watt of it gives each row.  It is bought in multiples of ``step_w``.
    """

    order: Order | FlexibilityOrder
    direction: Direction
    relief: FloatArray
    step_w: int


def buy_back(
    session: Session, limits: InterfaceLimits, record: EventRecorder, grid: Networks
) -> None:
    """Buy what relieves the network under new limits, within the buy-backs in force.

    Where the network model fails nothing is bought; curtailment comes next.
    """
    orders = list(_within_prices(session))
    if not orders:
        return
    lot_w = record.state.rules.lot_w
    try:
        rows = network_of(session, grid).rows_under(limits, session.holdings.envelope_set())
        if not (rows.headroom < 0.0).any():
            return
        offers = [
            *_sell_orders(orders, rows, grid.connection_points, lot_w),
            *_flexibility(orders, session, rows, limits, grid),
        ]
        offers.sort(key=lambda offer: offer.order.order_id)
        bought_w = _cheapest(rows, offers, session, lot_w)
    except (GridError, ClearingError):
        return
    bought = [(each.order, watts) for each, watts in zip(offers, bought_w, strict=True) if watts]
    _record_limits(bought, rows, record)
    _record_flexibility(bought, session, record)


def _record_limits(
    bought: Sequence[tuple[Order | FlexibilityOrder, int]], rows: LinearRows, record: EventRecorder
) -> None:
    fills = tuple(
        fill_of(order, quantity_w, -order.limit_price_ticks * quantity_w)
        for order, quantity_w in bought
        if isinstance(order, Order)
    )
    if not fills:
        return
    record.trade(
        Traded(
            sequence=record.next_sequence,
            time=record.now,
            trade_id=record.state.next_trade_id,
            fills=fills,
            taker_order_id=None,
            rent=0,
            tier="linear",
            binding_element=rows.element(int(np.argmin(rows.headroom))),
            loading=1.0,
            buy_back=True,
        )
    )


def _record_flexibility(
    bought: Sequence[tuple[Order | FlexibilityOrder, int]], session: Session, record: EventRecorder
) -> None:
    fills = tuple(
        FlexibilityFill(
            order_id=order.order_id,
            participant=order.participant,
            client_order_id=order.client_order_id,
            side=Side.SELL,
            place=order.terms.place,
            direction=order.terms.direction,
            quantity_w=quantity_w,
            amount=-order.limit_price_ticks * quantity_w,
        )
        for order, quantity_w in bought
        if isinstance(order, FlexibilityOrder)
    )
    if fills:
        record.add(
            FlexibilityMatched(
                sequence=record.next_sequence,
                time=record.now,
                trade_id=record.state.next_trade_id,
                interval=session.start,
                taker_order_id=None,
                fills=fills,
                buy_back=True,
            )
        )


def _within_prices(session: Session) -> Iterator[tuple[Order | FlexibilityOrder, Direction]]:
    """Yield the orders within the DSO's limit prices, with the direction that pays for them."""
    for direction, wanted in session.buy_backs.items():
        for order in session.books[direction].orders(Side.SELL, wanted.limit_price_ticks):
            yield order, direction
    for flexible in session.flexibility.orders.values():
        direction = relieved_by(flexible.terms.direction)
        asked = session.buy_backs.get(direction)
        if asked is None or flexible.terms.side is not Side.SELL:
            continue
        if flexible.limit_price_ticks <= asked.limit_price_ticks:
            yield flexible, direction


def _sell_orders(
    orders: Iterable[tuple[Order | FlexibilityOrder, Direction]],
    rows: LinearRows,
    connection_points: Sequence[str],
    lot_w: int,
) -> Iterator[_Candidate]:
    """Yield the sell orders of limits among orders."""
    place = {point: i for i, point in enumerate(connection_points)}
    per_watt = rows.A / rows.base_power_w
    for order, direction in orders:
        if isinstance(order, Order):
            offset = 0 if direction is Direction.INJECTION else len(place)
            column = offset + place[order.connection_point]
            yield _Candidate(order, direction, per_watt[:, column], lot_w)


def _flexibility(
    orders: Iterable[tuple[Order | FlexibilityOrder, Direction]],
    session: Session,
    rows: LinearRows,
    limits: InterfaceLimits,
    grid: Networks,
) -> Iterator[_Candidate]:
    """Yield the offers of flexibility among orders."""
    relief: dict[tuple[str, int], FloatArray] = {}
    held, network = session.holdings.envelope_set(), network_in(grid, session.start)
    for order, direction in orders:
        if not isinstance(order, FlexibilityOrder):
            continue
        moves = order.bus, order.terms.moves
        if moves not in relief:
            after = network_with(dict([moves]), session, network).rows_under(limits, held)
            relief[moves] = after.headroom - rows.headroom
        yield _Candidate(order, direction, relief[moves], 1)


def _cheapest(
    rows: LinearRows, offers: Sequence[_Candidate], session: Session, lot_w: int
) -> list[int]:
    """Return the quantity to buy of each offer, in its steps, watts."""
    relief = np.column_stack([offer.relief for offer in offers]) * lot_w
    # Relief below the rounding of headrooms is none.
    relief[np.abs(relief) < 1e-9 * np.abs(relief).max(initial=0.0)] = 0.0
    some = np.flatnonzero((rows.headroom < 0.0) | (relief < 0.0).any(axis=1))
    cut = rows.A[some] * (lot_w / rows.base_power_w)
    directions = list(session.buy_backs)
    relief, excess = relief[some], -rows.headroom[some]
    scale = np.maximum(np.hstack([cut, np.abs(relief)]).max(axis=1, initial=0.0), 1e-300)
    cut, relief, excess = cut / scale[:, None], relief / scale[:, None], excess / scale
    limits = cut.shape[1]
    prices = np.array([offer.order.limit_price_ticks for offer in offers], dtype=float)
    dearest = 1.0 + max(each.limit_price_ticks for each in session.buy_backs.values())
    of_direction = np.array(
        [[offer.direction is direction for offer in offers] for direction in directions],
        dtype=float,
    )
    coefficients = np.block([
        [relief, cut],
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
                np.array([each.order.remaining_w // each.step_w * each.step_w for each in offers])
                / lot_w,
                np.full(limits, INFINITY),
            ]
        ),
        integer=np.zeros(len(offers) + limits, dtype=bool),
    ).solve(0.0, RemainingWork(LOTS))
    if solution is None:
        return [0] * len(offers)
    return _in_steps(solution[: len(offers)] * lot_w, offers, session)


def _in_steps(watts: FloatArray, offers: Sequence[_Candidate], session: Session) -> list[int]:
    """Round purchases up to whole steps, within the quantities that the DSO wants."""
    left_w = {direction: each.quantity_w for direction, each in session.buy_backs.items()}
    found = []
    for wanted_w, offer in zip(watts, offers, strict=True):
        step_w = offer.step_w
        room_w = min(left_w[offer.direction], offer.order.remaining_w) // step_w * step_w
        quantity_w = min(int(np.ceil(wanted_w / step_w - _ROUNDING)) * step_w, room_w)
        left_w[offer.direction] -= quantity_w
        found.append(quantity_w)
    return found
