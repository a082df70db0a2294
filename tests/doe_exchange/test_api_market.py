"""A market in memory: the exchange as it is, with tables to look at."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

import doe_exchange as dx
from exchange.engine import Exchange
from exchange.vocabulary.commands import HaltTrading, OpenSession, SubmitOrder
from exchange.vocabulary.events import GateClosed, HoldingCurtailed, Traded, TradingHalted
from exchange.vocabulary.orders import OrderTerms
from gateway.formats.order_terms import SubmitRequest
from security_check.model.envelope import Direction
from security_check.model.limits import InterfaceLimits

FIRST, SECOND = "2026-07-01T12:00:00Z", "2026-07-01T12:15:00Z"
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.fixture
def market(village: dx.Area) -> dx.Market:
    return village.open_market()


def test_a_trade_is_that_of_the_engine(reference: dx.Area) -> None:
    scenario = reference.scenario
    (interval,) = scenario.intervals
    opened_at = interval.start - timedelta(hours=2)
    exchange = Exchange(scenario.grid(), scenario.rules, scenario.terms())
    opening = OpenSession(interval.start, interval.end, interval.start, interval.interface_limits)
    events = exchange.handle(opening, opened_at)
    sides = ((dx.Side.SELL, "load:7", 1000, 400), (dx.Side.BUY, "load:3", 600, 500))
    for number, (side, point, quantity_w, ticks) in enumerate(sides, start=1):
        order = SubmitOrder(
            participant=point,
            client_order_id=f"order-{number}",
            terms=OrderTerms(
                connection_point=point,
                direction=Direction.WITHDRAWAL,
                interval=interval.start,
                side=side,
                quantity_w=quantity_w,
                limit_price_ticks=ticks,
            ),
        )
        events += exchange.handle(order, opened_at + timedelta(minutes=number))

    market = reference.open_market(opened_at)
    at = [opened_at + timedelta(minutes=number) for number in (1, 2)]
    market.sell("load:7", "withdrawal", 1000, price="0.04", at=at[0])
    bid = market.buy("load:3", dx.Direction.WITHDRAWAL, 600, price=Decimal("0.05"), at=at[1])
    assert market.events == events
    assert market.exchange.digest() == exchange.digest()
    assert any(isinstance(event, Traded) for event in events)
    assert (bid.status, bid.filled_w, bid.remaining_w) == (dx.OrderStatus.FILLED, 600, 0)
    assert (bid.amount_eur, bid.average_price) == (Decimal("0.024"), 0.04)


def test_the_tables(market: dx.Market) -> None:
    offer = market.sell("load:7", "injection", 1000, price="0.04", interval=FIRST)
    bid = market.buy("load:3", "injection", 100, price=3 * 0.017, interval=FIRST)
    assert repr(offer) == (
        "<Order ben order-1: sell 1,000 W injection of load:7 at 0.04 EUR per kW; "
        "open, 100 W traded at 0.04 EUR per kW>"
    )
    trades = market.trades.to_frame()
    assert trades.dtypes.astype(str).to_dict() == {
        "time": "datetime64[ns, UTC]",
        "trade_id": "int64",
        "interval": "datetime64[ns, UTC]",
        "direction": "string",
        "buyer": "string",
        "seller": "string",
        "buy_connection_point": "string",
        "sell_connection_point": "string",
        "quantity_w": "int64",
        "price_eur_per_kw": "float64",
    }
    (trade,) = trades.to_dict("records")
    assert (trade["buyer"], trade["seller"], trade["quantity_w"]) == ("anna", "ben", 100)
    assert trade["price_eur_per_kw"] == pytest.approx(0.04)
    assert trade["interval"] == NOON

    book = market.book("injection", FIRST).to_frame()
    assert book.values.tolist() == [["sell", 0.04, 900, 1]]
    assert market.book("injection", SECOND).to_frame().empty
    assert repr(market.book("injection", SECOND)).endswith(": none")

    orders = market.orders.to_frame()
    assert orders.status.tolist() == ["open", "filled"]
    assert orders.filled_w.tolist() == [100, 100]
    assert orders.amount_eur.tolist() == pytest.approx([-0.004, 0.004])
    assert isinstance(bid.request, SubmitRequest)
    assert bid.request.price == "0.051"

    prices = market.prices(FIRST).to_frame()
    assert set(prices.direction) == {"injection"}
    assert len(prices) == 13
    assert prices.price_eur_per_kw.dtype == "float64"
    assert market.welfare_eur == Decimal("0.0011")
    assert repr(market).startswith("<Market of village at 2026-07-01T11:00:00Z: 2 orders, 1 open")


def test_empty_tables_have_their_types(market: dx.Market) -> None:
    for table in (market.orders, market.trades, market.statements, market.prices(FIRST)):
        frame = table.to_frame()
        assert frame.empty
        assert "object" not in set(frame.dtypes.astype(str))
        assert repr(table).endswith(": none")


def test_after_the_gate(market: dx.Market) -> None:
    market.sell("load:7", "injection", 1000, price="0.04", interval=FIRST)
    market.buy("load:3", "injection", 100, price="0.05", interval=FIRST)
    before = market.envelopes.to_frame()
    events = market.close()
    assert sum(isinstance(event, GateClosed) for event in events) == 2
    statements = market.statements.to_frame()
    assert statements.participant.tolist() == ["anna", "ben"]
    assert statements.balance_eur.tolist() == pytest.approx([-0.004, 0.004])
    assert market.envelopes.to_frame().equals(before)
    late = market.buy("load:3", "injection", 100, price="0.05", interval=FIRST)
    assert late.status is dx.OrderStatus.REFUSED

    later = NOON + timedelta(days=30)  # after a later gate, the exchange forgets these
    end = later + timedelta(minutes=15)
    opening = OpenSession(later, end, later, InterfaceLimits(0.98, 1.02))
    market.send(opening, at=later - timedelta(hours=1))
    market.close()
    assert market.envelopes.to_frame().equals(before)
    with pytest.raises(dx.InputFaults, match="the interval 2026-07-01T12:00:00Z is over"):
        market.book("injection", FIRST)


def test_envelopes_follow_trades_and_stay_secure(market: dx.Market) -> None:
    allocated = market.envelopes.to_frame().set_index(["start", "connection_point"])
    market.sell("load:7", "injection", 1000, price="0.04", interval=FIRST)
    market.buy("load:3", "injection", 100, price="0.05", interval=FIRST)
    traded = market.envelopes
    change = (
        traded.to_frame().set_index(["start", "connection_point"])
        - allocated[["injection_limit_w", "withdrawal_limit_w"]]
    )
    moved = change.injection_limit_w[change.injection_limit_w != 0]
    assert moved.to_dict() == {(NOON, "load:3"): 100, (NOON, "load:7"): -100}
    assert traded.verify()


def test_new_limits_of_the_tso(market: dx.Market) -> None:
    events = market.update_interface(interval=FIRST, injection_limit_w=80_000)
    assert any(isinstance(event, HoldingCurtailed) for event in events)
    verdict = market.envelopes.verify()  # against the new limits
    assert verdict
    assert verdict.content.intervals[0].element == "interface"
    assert verdict.content.intervals[1].element == "trafo:0"
    market.close()
    assert market.envelopes.verify().content.intervals[0].element == "interface"
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"injection": 1}, "injection: there is no such limit; there are voltage_min_pu"),
        ({"injection_limit_w": -1}, "it must be a whole number of watts >= 0"),
        ({"injection_limit_w": 1}, "the gate of 2026-07-01T12:00:00Z closed"),
    ]
    for limits, sentence in wrong:
        with pytest.raises(dx.InputFaults, match=sentence):
            market.update_interface(interval=FIRST, **limits)


def test_cancel_and_amend(market: dx.Market) -> None:
    offer = market.sell("load:7", "injection", 1000, price="0.04", interval=FIRST)
    offer.amend(price=0.045, quantity_w=800)
    assert market.book("injection", FIRST).to_frame().values.tolist() == [["sell", 0.045, 800, 1]]
    with pytest.raises(dx.InvalidMessageError, match="is not a multiple of the tick"):
        offer.amend(price="0.0451")
    with pytest.raises(dx.InvalidMessageError, match="price"):
        offer.amend(price="cheap")
    offer.cancel()
    assert offer.status is dx.OrderStatus.CANCELLED
    assert offer.detail == "its rest of 800 W was cancelled: requested"
    with pytest.raises(dx.InputFaults, match=r"order-1: .*cancelled"):
        offer.amend(price="0.05")


def test_a_refused_order_says_why(market: dx.Market) -> None:
    refused = market.buy("load:3", "injection", 100, price="0.05", interval=FIRST, participant="x")
    assert refused.status is dx.OrderStatus.REFUSED
    assert refused.reason is dx.RefusalReason.NOT_OWNER
    assert "load:3 does not belong to x" in refused.detail
    assert "refused" in repr(refused)
    off_lot = market.buy("load:3", "injection", 150, price="0.05", interval=FIRST)
    assert off_lot.reason is dx.RefusalReason.OFF_LOT
    assert not market.exchange.state.orders


def test_an_order_that_the_network_does_not_carry(market: dx.Market) -> None:
    # Watts near the transformer use more of it than watts at the far end: losses.
    market.sell("load:12", "injection", 1000, price="0.04", interval=FIRST)
    bid = market.buy("load:0", "injection", 1000, price="0.05", interval=FIRST)
    assert bid.status is dx.OrderStatus.OPEN
    assert bid.filled_w < 1000
    assert bid.detail.startswith("trafo:0 leaves no lot of 100 W")


def test_an_id_sent_twice_has_the_effect_of_once(market: dx.Market) -> None:
    asked: dict[str, Any] = {"price": "0.04", "interval": FIRST, "client_order_id": "mine"}
    first = market.sell("load:7", "injection", 1000, **asked)
    again = market.sell("load:7", "injection", 1000, **asked)
    assert first.remaining_w == again.remaining_w == 1000
    assert len(market.exchange.state.orders) == 1
    other = market.sell("load:7", "injection", 500, **asked)
    assert other.reason is dx.RefusalReason.CLIENT_ORDER_ID_REUSED
    assert first.status is dx.OrderStatus.OPEN
    wrong: dict[str, Any] = {**asked, "client_order_id": "wrong"}
    refusals = [market.sell("load:7", "injection", 150, **wrong) for _ in range(2)]
    assert [order.status for order in refusals] == [dx.OrderStatus.REFUSED] * 2


def test_joint_orders_and_conditions(market: dx.Market) -> None:
    block = market.submit(
        {
            "type": "block",
            "connection_point": "load:3",
            "direction": "injection",
            "intervals": [FIRST, NOON + timedelta(minutes=15)],
            "side": "buy",
            "quantity_w": np.int64(200),
            "price": 0.03,
        }
    )
    assert (block.participant, block.status, block.remaining_w) == ("anna", "open", 400)
    assert "in 2 intervals" in repr(block)
    iceberg = market.sell(
        "load:7", "injection", 1000, price="0.04", interval=FIRST, displayed_quantity_w=300
    )
    assert market.book("injection", FIRST).to_frame().quantity_w.tolist() == [300]
    assert iceberg.remaining_w == 1000
    taking = market.buy("load:3", "injection", 200, interval=FIRST)  # a market order
    assert taking.filled_w + taking.remaining_w <= 200
    assert "at market" in repr(taking)
    assert market.orders.to_frame().order.iloc[0].startswith("buy 200 W injection of load:3 in 2")


def test_time_passes_only_by_calls(market: dx.Market) -> None:
    until = market.now + timedelta(minutes=10)
    order = market.sell(
        "load:7",
        "injection",
        100,
        price="0.04",
        interval=FIRST,
        time_in_force="GTD",
        expires_at=until,
    )
    market.advance(until - timedelta(seconds=1))
    assert order.status is dx.OrderStatus.OPEN
    market.advance(until)
    assert order.detail.endswith("expired")
    yesterday = NOON - timedelta(days=1)
    market.buy("load:3", "injection", 100, price="0.01", interval=FIRST, at=yesterday)
    assert market.now == until  # a time before the last one counts as the last one
    (event,) = market.send(HaltTrading("h"), at=until)
    assert isinstance(event, TradingHalted)


BUY: dict[str, Any] = {"price": "0.05", "interval": FIRST}


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda m: m.buy("load:3", "up", 100, **BUY), "direction: it should be 'injection' or"),
        (lambda m: m.buy("load:3", "injection", 1.5, **BUY), "quantity_w: .*found 1.5"),
        (lambda m: m.buy("load:3", "injection", 100, price=0.0005, interval=FIRST), "the tick"),
        (lambda m: m.buy("load:3", "injection", 100, price="x", interval=FIRST), "price: "),
        (lambda m: m.buy("load:3", "injection", 100, price=1e400, interval=FIRST), "price: "),
        (lambda m: m.buy("load:3", "injection", 100, price="0.05"), "interval: it is missing"),
        (lambda m: m.buy("load:3", "injection", 100, **BUY, colour=1), "colour: there is no such"),
        (lambda m: m.buy("load:3", "injection", 100, **BUY, time_in_force="DAY"), "'GTC', 'GTD'"),
        (lambda m: m.submit({}), "connection_point: it is missing; .*side: it is missing"),
        (lambda m: m.submit({"type": "cancel"}), "type: 'cancel' is not a new order"),
        (lambda m: m.submit("load:3"), "an order is a mapping of its entries, found 'load:3'"),
        (lambda m: m.submit({"type": "linked", "legs": []}), "legs"),
    ],
)
def test_what_is_no_order(
    market: dx.Market, call: Callable[[dx.Market], object], sentence: str
) -> None:
    with pytest.raises(dx.InvalidMessageError, match=sentence):
        call(market)
    assert market.orders.to_frame().empty


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda m: m.book("up", FIRST), "direction: it should be injection or withdrawal"),
        (lambda m: m.book("injection"), "interval: it is missing, and there are 2"),
        (lambda m: m.prices("2026-07-01T13:00:00Z"), "none starts at 2026-07-01T13:00:00Z"),
        (lambda m: m.advance("2026-07-01T12:00:00"), "it has no offset"),
        (lambda m: m.advance("noon"), "it is not a time"),
        (lambda m: m.buy("load:3", "injection", 100, **BUY, at="noon"), "at: it is not a time"),
        (
            lambda m: m.buy(
                "load:3", "injection", 100, price="0.05", interval="2026-07-01T13:00:00Z"
            ),
            "none starts at",
        ),
    ],
)
def test_faults_of_a_call(
    market: dx.Market, call: Callable[[dx.Market], object], sentence: str
) -> None:
    with pytest.raises(dx.InputFaults, match=sentence):
        call(market)


def test_a_market_that_cannot_open(net: Any) -> None:
    area = dx.Area.from_pandapower(
        net, capacity_w=30_000, fallback_w=29_000, interface=(0.98, 1.02)
    )
    with pytest.raises(dx.InputFaults, match=r"interval 2000-01-01T00:00:00Z: .*trafo:0"):
        area.open_market()
    with pytest.raises(dx.InputFaults, match="interval 2000-01-01T00:00:00Z"):
        area.allocate()
