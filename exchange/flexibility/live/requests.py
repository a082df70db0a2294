"""Offers and requests as commands: taken or refused, and matched at once."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from exchange.clearing.problem import ClearingError
from exchange.flexibility.flex_order import FlexOrder, FlexOutcome
from exchange.flexibility.flexibility_market import FlexibilityMarket, PairwiseMarket
from exchange.flexibility.live.checks import check_order, check_session
from exchange.flexibility.live.flows import ALLOWED_W, flows_of
from exchange.flexibility.robust_flows import RobustFlows
from exchange.flexibility.welfare_market import WelfareMarket
from exchange.state.recording import EventRecorder, alarm_kind, answer_if_repeated
from exchange.state.session import Session
from exchange.state.state import State
from exchange.vocabulary.commands import SubmitFlexibility
from exchange.vocabulary.flexibility import (
    BlockedPair,
    FlexibilityFill,
    FlexibilityMatch,
    FlexibilityOrder,
    Matching,
    OrderOwner,
)
from exchange.vocabulary.flexibility_events import (
    FlexibilityAccepted,
    FlexibilityBlocked,
    FlexibilityMatched,
)
from exchange.vocabulary.network_port import FlexibleNetwork, Networks, network_in
from exchange.vocabulary.reasons import AlarmKind, Refusal, RefusalReason
from orderbook.order import Side
from security_check.errors import GridError
from security_check.model.linear_network import LinearNetwork

_MARKETS: dict[Matching, type[FlexibilityMarket]] = {
    Matching.WELFARE: WelfareMarket,
    Matching.PAIRWISE: PairwiseMarket,
}
_ONE = ""  # the key of the one interval that a market is made for


class FlexibilityRequests:
    """Carries out, or refuses, orders for flexibility.

    Each is matched by a market that is made anew, of the orders that rest and of the flows in
    force, so there is nothing besides the state that a restart could lose.

    Parameters
    ----------
    state
        The exchange's state; read here, changed by events alone.
    grid
        The network of the area.
    """

    __slots__ = ("_grid", "_state")

    def __init__(self, state: State, grid: Networks) -> None:
        self._state = state
        self._grid = grid

    def submit(self, command: SubmitFlexibility, record: EventRecorder) -> None:
        """Accept an order and let it match."""
        if answer_if_repeated(command, record):
            return
        refusal = check_session(command, self._state)
        if refusal is not None:
            record.refuse(command, refusal)
            return
        session = self._state.sessions[command.terms.interval]
        try:
            network = self._network(session)
            flows = flows_of(session, network)
            resting = _copies(session, network.operation.network)
        except GridError as error:
            reason = RefusalReason(alarm_kind(error).value)
            record.refuse(command, Refusal(reason, f"no flows can be computed: {error}"))
            return
        refusal = check_order(command, self._state, network, record.now)
        if refusal is not None:
            record.refuse(command, refusal)
            return
        record.add(self._accepted(command, network, record))
        self._match(session, network.operation.network, flows, resting, record)

    def _network(self, session: Session) -> FlexibleNetwork:
        network = network_in(self._grid, session.start)
        if not isinstance(network, FlexibleNetwork):
            raise GridError("the network of this area is not linear")
        return network

    def _accepted(
        self, command: SubmitFlexibility, network: FlexibleNetwork, record: EventRecorder
    ) -> FlexibilityAccepted:
        terms, operation = command.terms, network.operation
        bus = terms.place
        if terms.side is Side.SELL:
            point = operation.connection_points.index(terms.place)
            bus = operation.network.buses[operation.bus_of_point[point]]
        return FlexibilityAccepted(
            sequence=record.next_sequence,
            time=record.now,
            order_id=self._state.next_order_id,
            participant=command.participant,
            client_order_id=command.client_order_id,
            terms=terms,
            bus=bus,
        )

    def _match(
        self,
        session: Session,
        network: LinearNetwork,
        flows: RobustFlows,
        resting: list[FlexOrder],
        record: EventRecorder,
    ) -> None:
        """Match the youngest order of a session, and record what came of it."""
        rules = self._state.rules.flexibility
        assert rules is not None, "the session is checked first"
        upper_w = np.maximum(network.upper_w + ALLOWED_W, flows.largest_w)
        lower_w = np.minimum(network.lower_w - ALLOWED_W, flows.least_w)
        market = _MARKETS[rules.matching](network, {_ONE: np.zeros(len(network.buses))})
        market.flows[_ONE] = flows
        order = _copies(session, network)[-1]
        for each in resting:
            market.book_of(each).add(each)
        try:
            outcome = market.submit(order)
        except ClearingError as error:
            detail = f"the matching of flexibility failed: {error}"
            record.alarm(AlarmKind.CLEARING_FAILED, session.start, detail)
            return
        beyond_w = np.maximum(flows.largest_w - upper_w, lower_w - flows.least_w)
        if beyond_w.max() > 0.0:
            branch = network.branches[int(beyond_w.argmax())]
            detail = (
                f"a matching of flexibility is not made: it would take the flow of {branch} "
                f"{beyond_w.max() + ALLOWED_W:g} W beyond its limit"
            )
            record.alarm(AlarmKind.INSECURE, session.start, detail)
            return
        self._record(session, order.order_id, outcome, record)

    def _record(
        self, session: Session, taker: int, outcome: FlexOutcome, record: EventRecorder
    ) -> None:
        owners = _owners(session, outcome)  # before those that match in full are gone
        if outcome.matches:
            record.add(
                FlexibilityMatched(
                    sequence=record.next_sequence,
                    time=record.now,
                    trade_id=self._state.next_trade_id,
                    interval=session.start,
                    taker_order_id=taker,
                    fills=_fills(session, outcome),
                    matches=tuple(
                        FlexibilityMatch(each.offer_id, each.request_id, each.quantity_w)
                        for each in outcome.matches
                    ),
                )
            )
        if outcome.refusals:
            record.add(
                FlexibilityBlocked(
                    sequence=record.next_sequence,
                    time=record.now,
                    interval=session.start,
                    order_id=taker,
                    pairs=_blocked(outcome),
                    owners=owners,
                )
            )


def _copies(session: Session, network: LinearNetwork) -> list[FlexOrder]:
    """Return the open orders of a session as matching takes them, which changes them.

    Raises
    ------
    GridError
        When the network lacks the bus of one.
    """
    return [_copy_of(each, network) for each in session.flexibility.orders.values()]


def _copy_of(order: FlexibilityOrder, network: LinearNetwork) -> FlexOrder:
    terms = order.terms
    if order.bus not in network.buses:
        raise GridError(f"there is no bus {order.bus} any more, where an order rests")
    return FlexOrder(
        order.order_id,
        terms.side,
        terms.limit_price_ticks,
        order.remaining_w,
        bus=network.buses.index(order.bus),
        direction=terms.direction,
        interval=_ONE,
        conditional=terms.conditional,
    )


def _blocked(outcome: FlexOutcome) -> tuple[BlockedPair, ...]:
    """Return each refused pair once, with the branch that was full when it was tried first."""
    pairs: dict[tuple[int, int], BlockedPair] = {}
    for each in outcome.refusals:
        pair = BlockedPair(each.offer_id, each.request_id, f"branch:{each.branch}")
        pairs.setdefault((each.offer_id, each.request_id), pair)
    return tuple(pairs.values())


def _owners(session: Session, outcome: FlexOutcome) -> tuple[OrderOwner, ...]:
    """Return the orders of refused pairs with their owners, oldest first."""
    numbers = {n for each in outcome.refusals for n in (each.offer_id, each.request_id)}
    orders = (session.flexibility.orders[number] for number in sorted(numbers))
    return tuple(OrderOwner(o.order_id, o.participant, o.client_order_id) for o in orders)


def _fills(session: Session, outcome: FlexOutcome) -> tuple[FlexibilityFill, ...]:
    """Return one fill for each order, oldest first; payments of requests are positive."""
    watts: dict[int, int] = defaultdict(int)
    money: dict[int, int] = defaultdict(int)
    for each in outcome.fills:
        watts[each.order_id] += each.quantity_w
        money[each.order_id] += each.amount
    found = []
    for number in sorted(watts):
        order = session.flexibility.orders[number]
        terms = order.terms
        found.append(
            FlexibilityFill(
                order_id=number,
                participant=order.participant,
                client_order_id=order.client_order_id,
                side=terms.side,
                place=terms.place,
                direction=terms.direction,
                quantity_w=watts[number],
                amount=money[number] if terms.side is Side.BUY else -money[number],
            )
        )
    return tuple(found)
