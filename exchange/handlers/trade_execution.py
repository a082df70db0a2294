"""Clearings become trades here: at what prices, and what happens where a clearing fails."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial

from exchange.clearing.payments import at_local_prices, at_maker_prices
from exchange.clearing.problem import ClearingError
from exchange.handlers.fills import fills_of
from exchange.market.interval_market import CheckFailedError, ConfirmedClearing
from exchange.market.interval_markets import IntervalMarkets
from exchange.state.recording import EventRecorder, alarm_kind
from exchange.state.state import State
from exchange.vocabulary.events import Traded
from exchange.vocabulary.orders import Order
from exchange.vocabulary.reasons import AlarmKind, CancelReason

# How many orders one event may cancel because the clearing fails for them.  Each costs a clearing
# with programs built anew, so their number bounds how long other orders wait.
_MAX_FAILING_ORDERS = 4

Search = Callable[[], ConfirmedClearing | None]
"""Finds the next clearing that raises welfare; ``None`` where there is none."""


class TradeExecution:
    """Makes trades of the clearings that the markets find and the AC power flow confirms.

    Parameters
    ----------
    state
        The exchange's state; read here, changed by events alone.
    markets
        The open orders of each interval, and which intervals clear together.
    """

    __slots__ = ("_alarmed", "markets", "state")

    def __init__(self, state: State, markets: IntervalMarkets) -> None:
        self.state = state
        self.markets = markets
        self._alarmed: dict[datetime, str] = {}  # The last alarm of each interval.

    def trade_all(self, interval: datetime, taker: int | None, record: EventRecorder) -> None:
        """Trade until no profitable whole-lot trade is left.

        Where a program cannot be solved, all programs are built anew and the clearing is tried
        once more.  Where that fails too, the order for which it fails is cancelled, so that the
        other orders go on trading.

        Parameters
        ----------
        interval
            Its start; the intervals that joint orders connect with it clear together.
        taker
            The number of the incoming order; ``None`` in an auction, at local prices.
        record
            Collects the events.
        """
        if taker is None:
            self.markets.let_join()
        search = partial(self.markets.next_trade, interval, record)
        for attempt in range(1 + _MAX_FAILING_ORDERS):
            try:
                self._trade_while(search, taker, record)
            except CheckFailedError as failed:
                self._alarm_of_check(failed, record)
                return
            except ClearingError as error:
                if not attempt:
                    self.markets.build_anew(interval, record, taker)
                elif not self._cancel_failing_order(interval, error, record):
                    return
            else:
                self._alarmed.pop(interval, None)
                return

    def trade_one(self, search: Search, order: Order, record: EventRecorder) -> None:
        """Let one order trade while a search finds something; a clearing of all orders follows."""
        try:
            self._trade_while(search, order.order_id, record)
        except CheckFailedError as failed:
            self._alarm_of_check(failed, record)
        except ClearingError as error:
            self._alarm(AlarmKind.CLEARING_FAILED, order.interval, _failure(error), record)

    def _trade_while(self, search: Search, taker: int | None, record: EventRecorder) -> None:
        while (found := search()) is not None:
            self._execute(found, taker, record)

    def _execute(self, found: ConfirmedClearing, taker: int | None, record: EventRecorder) -> None:
        """Record a clearing as a trade; icebergs then show their next part."""
        state, rules = self.state, self.state.rules
        numbers = [each.order.order_id for each in found.executions]
        if taker is None:
            paid = at_local_prices(found.executions, found.prices.local, rules.reserve_price_ticks)
        else:
            taker = taker if taker in numbers else numbers[-1]
            paid = at_maker_prices(found.executions, taker, rules.reserve_price_ticks)
        fills = fills_of(found.executions, paid, state)
        for fill in fills:
            self._alarmed.pop(fill.interval, None)
        record.trade(
            Traded(
                sequence=record.next_sequence,
                time=record.now,
                trade_id=state.next_trade_id,
                fills=fills,
                taker_order_id=taker,
                rent=paid.rent,
                tier=found.tier.value,
                binding_element=found.verdict.element,
                loading=found.verdict.loading,
            )
        )

    def _cancel_failing_order(
        self, interval: datetime, error: ClearingError, record: EventRecorder
    ) -> bool:
        """Cancel the order for which a clearing fails; return whether there is such an order."""
        failing_order = self.markets.failing_order(interval, record)
        if failing_order is None:
            self._alarm(AlarmKind.CLEARING_FAILED, interval, _failure(error), record)
            return False
        name = f"order {failing_order.order_id} of {failing_order.participant}"
        order = (
            f"{failing_order.side} of {failing_order.remaining_w:,} W "
            f"at {failing_order.limit_price_ticks:,} ticks"
        )
        detail = f"{_failure(error)}; {name} ({order}) is cancelled, so that other orders can trade"
        self._alarm(AlarmKind.CLEARING_FAILED, failing_order.interval, detail, record)
        record.cancel(failing_order, CancelReason.CLEARING_FAILED)
        return True

    def _alarm_of_check(self, failed: CheckFailedError, record: EventRecorder) -> None:
        detail = f"the check of a clearing failed: {failed}"
        self._alarm(alarm_kind(failed.error), failed.interval, detail, record)

    def _alarm(
        self, kind: AlarmKind, interval: datetime, detail: str, record: EventRecorder
    ) -> None:
        """Raise an alarm, unless it repeats the interval's last alarm and no trade came since."""
        if self._alarmed.get(interval) != detail:
            self._alarmed[interval] = detail
            record.alarm(kind, interval, detail)


def _failure(error: ClearingError) -> str:
    return f"the clearing failed: {error}"
