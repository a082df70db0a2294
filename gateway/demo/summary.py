"""The figures of the demo report, from what the observer counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import numpy as np

from exchange.vocabulary.events import Traded
from exchange.vocabulary.formatting import format_eur
from exchange.vocabulary.rules import OPERATOR, MarketRules
from gateway.demo.adversary_process import Attacked
from gateway.demo.customers import Customer, CustomerKind, energy_kwh
from gateway.demo.observer import ContractChange, DayObserver, ObservedInterval
from gateway.demo.report import (
    AdversaryCount,
    BindingChange,
    BindingElement,
    Blocked,
    BusiestInterval,
    Change,
    CustomerAccount,
    Group,
    MoneyFlow,
    Party,
    RefusalCount,
    Spread,
    UnmetEnergy,
    Update,
)
from gateway.publishing.trade_prints import mean_ticks, price_text, prints_of
from security_check.model.envelope import Direction

# Rows of the report's tables.
_SHOWN_CHANGES = 8
_SHOWN_TRADES = 6
_SHOWN_BLOCKED = 4


class Summary:
    """Makes the parts of the demo report."""

    def __init__(
        self, watch: DayObserver, customers: Sequence[Customer], rules: MarketRules
    ) -> None:
        self.watch = watch
        self.customers = customers
        self.rules = rules
        self.sessions = [watch.sessions[start] for start in sorted(watch.sessions)]
        self.party_of: dict[str, Party] = {OPERATOR: "operator"}
        self.party_of |= {customer.participant: customer.kind for customer in customers}

    def eur(self, amount: int) -> str:
        """Return tick-watts as exact EUR."""
        return format_eur(self.rules.amount_in_eur(amount))

    def groups(self) -> list[Group]:
        """Return the kinds of customers."""
        count = Counter(customer.kind for customer in self.customers)
        return [Group(kind=kind, customers=count[kind]) for kind in CustomerKind if count[kind]]

    def largest_blocked(self) -> list[Blocked]:
        """Return the largest blocked match at each element, and then the next ones."""
        ordered = sorted(self.watch.blocked, key=lambda event: -event.blocked_w)
        first = {event.element: event for event in reversed(ordered)}
        chosen = [*first.values(), *(e for e in ordered if e not in first.values())]
        return [
            Blocked(
                participant=event.participant,
                blocked_w=event.blocked_w,
                element=event.element,
                detail=event.detail,
            )
            for event in chosen[:_SHOWN_BLOCKED]
        ]

    def spreads(self) -> list[Spread]:
        """Return the envelopes of the day when intervals opened and when they closed."""
        spreads = []
        for column, direction in enumerate(Direction):
            opened = np.array([session.opened_w[column] for session in self.sessions])
            closed = np.array([session.now_w[column] for session in self.sessions])
            spreads.append(
                Spread(
                    direction=direction,
                    opened_min_w=int(opened.min()),
                    opened_mean_w=round(float(opened.mean())),
                    opened_max_w=int(opened.max()),
                    closed_min_w=int(closed.min()),
                    closed_mean_w=round(float(closed.mean())),
                    closed_max_w=int(closed.max()),
                )
            )
        return spreads

    def unmet(self) -> list[UnmetEnergy]:
        """Return the needs beyond the envelopes before and after trading, where there are any."""
        found = []
        for kind in CustomerKind:
            rows = [i for i, customer in enumerate(self.customers) if customer.kind is kind]
            for column, direction in enumerate(Direction):
                needed = np.array(
                    [
                        [self.customers[i].need_w(direction, q) for i in rows]
                        for q in range(len(self.sessions))
                    ]
                )
                opened = np.array([session.opened_w[column, rows] for session in self.sessions])
                closed = np.array([session.now_w[column, rows] for session in self.sessions])
                before = np.maximum(needed - opened, 0)
                after = np.maximum(needed - closed, 0)
                if before.any() or after.any():
                    found.append(
                        UnmetEnergy(
                            kind=kind,
                            direction=direction,
                            needed_kwh=energy_kwh(needed),
                            beyond_before_kwh=energy_kwh(before),
                            beyond_after_kwh=energy_kwh(after),
                        )
                    )
        return found

    def busiest(self) -> BusiestInterval | None:
        """Return the interval with the most trades."""
        session = max(self.sessions, key=lambda session: session.trades)
        if not session.trades:
            return None
        quarter = self.sessions.index(session)
        changes = [
            self._change(session, quarter, row, column)
            for column in range(2)
            for row in range(len(self.customers))
        ]
        changes.sort(key=lambda change: -abs(change.closed_w - change.opened_w))
        return BusiestInterval(
            start=session.start, trades=session.trades, changes=changes[:_SHOWN_CHANGES]
        )

    def _change(self, session: ObservedInterval, quarter: int, row: int, column: int) -> Change:
        direction = tuple(Direction)[column]
        envelope, customer = session.opened[row], self.customers[row]
        injects = direction is Direction.INJECTION
        return Change(
            participant=customer.participant,
            connection_point=customer.connection_point,
            direction=direction,
            needed_w=customer.need_w(direction, quarter),
            opened_w=int(session.opened_w[column, row]),
            closed_w=int(session.now_w[column, row]),
            bottleneck=envelope.injection_bottleneck if injects else envelope.withdrawal_bottleneck,
        )

    def elements(self) -> list[BindingElement]:
        """Return the binding elements, those with most effects first."""
        kept: Counter[str] = Counter()
        for session in self.sessions:
            for envelope in session.opened:
                kept[envelope.injection_bottleneck] += 1
                kept[envelope.withdrawal_bottleneck] += 1
        blocked = Counter(event.element for event in self.watch.blocked)
        nearest = Counter(trade.binding_element for trade in self.watch.trades)
        loading: dict[str, float] = {}
        for trade in self.watch.trades:
            loading[trade.binding_element] = max(
                loading.get(trade.binding_element, 0.0), trade.loading
            )
        return [
            BindingElement(
                element=element,
                envelopes_limited=kept[element],
                matches_blocked=blocked[element],
                nearest_after_trades=nearest[element],
                highest_loading=loading.get(element, 0.0),
            )
            for element, _ in (kept + blocked + nearest).most_common()
        ]

    def binding_changes(self) -> list[BindingChange]:
        """Return every clearing after which another element was the nearest to its limit.

        Agents of the demo place no joint orders, so a clearing is of one interval.
        """
        last: dict[datetime, str] = {}
        changes = []
        for trade in self.watch.trades:
            interval = trade.fills[0].interval
            before = last.get(interval)
            if before is not None and before != trade.binding_element:
                changes.append(self._binding_change(trade, before))
            last[interval] = trade.binding_element
        return changes

    def _binding_change(self, trade: Traded, before: str) -> BindingChange:
        books = prints_of(trade)
        prints = [each for book in books.values() for each in book]
        interval, direction = next(iter(books))
        return BindingChange(
            trade_id=trade.trade_id,
            interval=interval,
            direction=direction,
            sellers=list(dict.fromkeys(each.seller for each in prints)),
            buyers=list(dict.fromkeys(each.buyer for each in prints)),
            quantity_w=sum(each.quantity_w for each in prints),
            price=price_text(mean_ticks(prints), self.rules),
            nearest_before=before,
            nearest_after=trade.binding_element,
            loading_after=trade.loading,
        )

    def updates(self) -> list[Update]:
        """Return the TSO's changes during trading."""
        return [self._update(change) for change in self.watch.updates]

    def _update(self, change: ContractChange) -> Update:
        before, after = change.before, change.event.interface_limits
        elements = Counter(cut.element for cut in change.cuts)
        elements.update(rise.element for rise in change.raises)
        return Update(
            interval=change.event.interval,
            injection_limit_w=(before.injection_limit_w, after.injection_limit_w),
            withdrawal_limit_w=(before.withdrawal_limit_w, after.withdrawal_limit_w),
            curtailed=len(change.cuts),
            curtailed_w=sum(cut.from_w - cut.to_w for cut in change.cuts),
            raised=len(change.raises),
            raised_w=sum(rise.to_w - rise.from_w for rise in change.raises),
            element=elements.most_common(1)[0][0] if elements else "",
        )

    def flows(self) -> list[MoneyFlow]:
        """Return the payments between kinds of customers, the largest first."""
        flows = self.watch.paid(self.party_of)
        return [
            MoneyFlow(
                payer=payer, receiver=receiver, amount=self.eur(round(flows[payer, receiver]))
            )
            for payer, receiver in sorted(flows, key=lambda pair: -flows[pair])
        ]

    def accounts(self) -> list[CustomerAccount]:
        """Return payments by and to each customer, the largest receiver first."""
        paid: Counter[str] = Counter()
        received: Counter[str] = Counter()
        for statement in self.watch.statements:
            paid[statement.participant] += statement.paid
            received[statement.participant] += statement.received
        names = sorted({*paid, *received}, key=lambda name: (paid[name] - received[name], name))
        return [
            CustomerAccount(
                participant=name,
                paid=self.eur(paid[name]),
                received=self.eur(received[name]),
                balance=self.eur(received[name] - paid[name]),
            )
            for name in names
        ]

    def refusals(self) -> list[RefusalCount]:
        """Return the reasons of refusals, the most frequent first."""
        count = Counter(refusal.reason for refusal in self.watch.refusals)
        example = {refusal.reason: refusal for refusal in reversed(self.watch.refusals)}
        return [
            RefusalCount(
                reason=reason,
                count=number,
                example=f"{example[reason].participant}: {example[reason].detail}",
            )
            for reason, number in count.most_common()
        ]


def adversary_count(results: Sequence[Attacked]) -> AdversaryCount:
    """Return the attacks of the adversary and the violations found."""
    broken = [attacked for attacked in results if attacked.violation]
    return AdversaryCount(
        trades_checked=len(results),
        vertices_tried=sum(attacked.vertices_tried for attacked in results),
        violations=len(broken),
        examples=[f"after trade {a.trade_id}: {a.violation}" for a in broken[:_SHOWN_TRADES]],
    )
