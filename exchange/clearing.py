"""What clears together, and how: optimum, AC confirmation, correction of rows, commit.

A market is one delivery interval, or several that joint orders connect.  Its books and envelopes
change by events alone; what is kept here follows from them, and is built anew when it is missing.
The engine makes events of what :meth:`Market.next_trade` finds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from exchange.grid import SecurityState
from exchange.local_prices import PointPrice, point_prices
from exchange.market_program import Legs, MarketProgram
from exchange.orders import Order
from exchange.payments import Execution
from exchange.program import ExchangeRate, LocalPrices, NetworkRows, Tier
from exchange.rules import MarketRules
from security_check.envelope import Direction
from security_check.errors import GridError
from security_check.linear_rows import LinearRows
from security_check.verdict import LimitChange, Verdict

CONFIRMATION_ROUNDS = 12
"""How often an optimum is looked for again after the AC power flow has refused one.

Each refusal corrects the linear rows, which converge in 3 to 6 rounds.
"""

_DIRECTIONS = (Direction.INJECTION, Direction.WITHDRAWAL)

_CAUTIOUS_ROUNDS = 4  # the last ones, which ask for less and less of the headroom


class CheckFailedError(Exception):
    """The power flow of an interval came to no result; ``error`` says why."""

    def __init__(self, interval: datetime, error: GridError) -> None:
        super().__init__(str(error))
        self.interval = interval
        self.error = error


@dataclass(frozen=True, slots=True)
class Confirmed:
    """Orders that trade together; the limits after it are in force in the networks.

    Parameters
    ----------
    executions
        What each order trades, oldest first.
    prices
        The local prices of the clearing.
    tier
        What proved it optimal.
    verdict
        Of the interval whose network is nearest its limits afterwards.
    """

    executions: tuple[Execution, ...]
    prices: LocalPrices
    tier: Tier
    verdict: Verdict


class Market:
    """The orders of some intervals, their networks, and the program over both.

    Parameters
    ----------
    networks
        The envelopes in force of each interval, by its start, in the order of the columns.
    connection_points
        In the network's order.
    rules
        Of the market.
    open_orders
        Returns the open orders, oldest first, each with all its legs.
    taker
        The one that has just come, if any, and hides nothing yet.

    Attributes
    ----------
    program
        The program; :meth:`add` and :meth:`lower` change it.
    unsettled
        Whether something has changed since it was found that nothing more can trade.
    """

    def __init__(
        self,
        networks: Mapping[datetime, SecurityState],
        connection_points: Sequence[str],
        rules: MarketRules,
        open_orders: Callable[[], Iterable[Legs]],
        taker: int | None = None,
    ) -> None:
        self._networks = dict(networks)
        self._points = tuple(connection_points)
        self._rules = rules
        self.unsettled = True
        self._rows = self._linear_rows()
        self.program = self._new_program()
        self._open_orders = open_orders
        for legs in open_orders():
            self.add(legs, whole=legs[0].order_id == taker)

    @property
    def intervals(self) -> tuple[datetime, ...]:
        """Starts of its intervals."""
        return tuple(self._networks)

    # -- what follows from events ---------------------------------------------------------------

    def add(self, legs: Legs, *, whole: bool = False) -> None:
        """Take up an order; ``whole`` with what it will hide, because it has just come."""
        self.unsettled |= self.program.add(legs, whole=whole)

    def lower(self, order: Order, *, whole: bool = False) -> None:
        """Take up that an order has less left; as :meth:`MarketProgram.lower`."""
        self.unsettled |= self.program.lower(order, whole=whole)

    def set_aside(self, orders: Iterable[Legs]) -> list[Legs]:
        """Let orders take no part until :meth:`take_back`; return those that did.

        A joint order does not while one of its intervals is halted.
        """
        aside = [legs for legs in orders if legs[0].order_id in self.program]
        for legs in aside:
            self.program.withdraw(legs[0].order_id)
        return aside

    def take_back(self, orders: Iterable[Legs]) -> None:
        """Let orders take part again, in their old places."""
        for legs in orders:
            self.add(legs)

    def limit(self, order: Order, limit_price_ticks: int) -> None:
        """Let an order that has just come trade up to another price than its own."""
        self.program.withdraw(order.order_id)
        limited = replace(order, limit_price_ticks=limit_price_ticks)
        self.unsettled |= self.program.add([limited], whole=True)

    # -- what trades ------------------------------------------------------------------------------

    def next_trade(self) -> Confirmed | None:
        """Return what trades next, put into force in the networks; ``None`` once nothing does.

        Whoever asks makes it an event, takes up what that changes, and asks again.

        Raises
        ------
        ClearingError
            When the program could not be solved.
        CheckFailedError
            When the power flow of an interval came to no result.
        """
        if not self.unsettled:
            return None
        found = self._confirm(self.program)
        self.unsettled = found is not None
        return found

    def would_trade(self, order: Order, instead_of: Order | None) -> bool:
        """Return whether an order would trade if it came now, in the place of another.

        Raises
        ------
        ClearingError
            When the program could not be solved.
        """
        program = self._program_without(instead_of) if instead_of is not None else self.program
        program.add([order], whole=True)
        trades = order.order_id in program.clearing.optimum().quantities_w
        program.withdraw(order.order_id)
        return trades

    def _program_without(self, order: Order) -> MarketProgram:
        program = self._new_program()
        program.add_all(legs for legs in self._open_orders() if legs[0] is not order)
        return program

    def trade_among(self, orders: Iterable[Legs]) -> Confirmed | None:
        """Return what trades next among some of the orders; raises as :meth:`next_trade`."""
        program = self._new_program()
        program.add_all(orders)
        return self._confirm(program)

    def _new_program(self) -> MarketProgram:
        rows = _joined(self._linear_rows())
        return MarketProgram(self.intervals, self._points, self._rules, rows)

    def _confirm(self, program: MarketProgram) -> Confirmed | None:
        """Return the optimum of a program once the AC power flow confirms it."""
        share = 1.0
        for left in reversed(range(CONFIRMATION_ROUNDS)):
            optimum = program.clearing.optimum()
            if not optimum.quantities_w:
                break
            executions = program.executions(optimum)
            verdict = self._put_into_force(executions)
            if verdict is not None:
                program.clearing.execute(optimum)
                self._renew_rows(self.program)
                return Confirmed(executions, optimum.prices, optimum.tier, verdict)
            share = min(left / _CAUTIOUS_ROUNDS, 1.0)
            self._renew_rows(program, share)
        if share < 1.0:
            self._renew_rows(program)
        return None

    def local_prices(self, interval: datetime) -> tuple[PointPrice, ...] | None:
        """Return the local prices of one of its intervals; ``None`` while something may trade.

        See :func:`exchange.local_prices.point_prices`.
        """
        if self.unsettled:
            return None
        place = self.intervals.index(interval)
        return point_prices(self.program.clearing, self._points, place, self._element)

    def _element(self, row: int) -> str:
        """Return the name of the element behind a row of the program."""
        for rows in self._rows:
            count = len(rows.headroom)
            if row < count:
                return rows.element(row)
            row -= count
        raise IndexError(f"there are {row} rows fewer")

    def check_invariants(self) -> None:
        """Check that the program has the open orders, and that no lot's worth is left to gain.

        The second against a program built from nothing, on copies of the networks.  Less than
        that may appear when orders leave: whole lots can then fit rows better than before.

        Raises
        ------
        AssertionError
            With what breaks a rule.
        """
        self.program.clearing.orders.check_invariants()
        anew = self._new_program()
        anew.add_all(self._open_orders())
        assert self.program.open_w() == anew.open_w(), (
            f"{self.intervals}: the program has other orders than the books"
        )
        if self.unsettled:
            return
        copies = {start: network.copy() for start, network in self._networks.items()}
        trial = Market(copies, self._points, self._rules, self._open_orders)
        found = trial.next_trade()
        assert found is None or self._is_less_than_a_lot(found.executions), (
            f"{self.intervals}: {found} is left to trade"
        )

    def _is_less_than_a_lot(self, executions: Sequence[Execution]) -> bool:
        """Return whether trades gain no more than a lot does between their best prices."""
        weighted = self._rules.exchange_rate is ExchangeRate.NETWORK_WEIGHTED
        reserve = self._rules.reserve_price_ticks if weighted else 0
        orders = [each.order for each in executions]
        prices = [order.price_of(leg) for order in orders for leg in order.legs]
        spread = max(prices) - min(prices)
        if weighted:
            spread = max(*prices, reserve) - min(*prices, reserve)
        gain = sum(each.order.worth(each.quantity_w, reserve) for each in executions)
        return gain <= self._rules.lot_w * spread

    def _put_into_force(self, executions: Sequence[Execution]) -> Verdict | None:
        """Commit what the AC power flow confirms in all intervals; ``None`` if it refuses one."""
        worst: Verdict | None = None
        confirmed = []
        for start, changes in self._changes(executions):
            network = self._networks[start]
            try:
                verdict = network.confirm(changes)
            except GridError as error:
                raise CheckFailedError(start, error) from error
            if not verdict.secure:
                return None
            confirmed.append((network, changes))
            if worst is None or verdict.loading > worst.loading:
                worst = verdict
        for network, changes in confirmed:
            network.commit(changes)
        return worst

    def _changes(
        self, executions: Sequence[Execution]
    ) -> list[tuple[datetime, tuple[LimitChange, ...]]]:
        """Return what the limits of each interval change by, largest columns last."""
        count = len(self._points)
        total: dict[int, int] = {}
        for each in executions:
            for leg in each.order.legs:
                change_w = each.order.change_w(leg, each.quantity_w)
                total[leg.column] = total.get(leg.column, 0) + change_w
        found = []
        for k, start in enumerate(self._networks):
            changes = tuple(
                LimitChange(
                    self._points[column % count], _DIRECTIONS[column // count % 2], total[column]
                )
                for column in sorted(total)
                if column // (2 * count) == k
            )
            if changes:
                found.append((start, changes))
        return found

    def _linear_rows(self) -> list[LinearRows]:
        return [network.linear_rows() for network in self._networks.values()]

    def _renew_rows(self, program: MarketProgram, share: float = 1.0) -> None:
        """Give a program the rows in force, with a share of their headrooms."""
        rows = self._linear_rows()
        program.clearing.replace_rows(_joined(rows, share))
        if program is self.program:
            self._rows = rows


def _joined(intervals: Sequence[LinearRows], share: float = 1.0) -> NetworkRows:
    """Return the rows of all intervals, with a share of their headrooms."""
    each = []
    for rows in intervals:
        parts = rows.parts
        if share < 1.0:
            parts = tuple(replace(part, headroom=share * part.headroom) for part in parts)
        each.append(NetworkRows(parts, rows.limits, rows.base_power_w))
    return each[0] if len(each) == 1 else NetworkRows.joined(each)
