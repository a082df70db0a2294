"""The clairvoyant optimum: the welfare of one auction of all orders ever submitted.

The auction starts from the opening envelopes and is confirmed by the AC power flow.  Its rows are
linear near one point, so the program is solved again at the last solution, where every order may
trade more or less than before, until the gain no longer rises.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from exchange.clearing.payments import Execution, at_local_prices
from exchange.clearing.problem import LocalPrices, NetworkRows
from exchange.market.market_program import Legs, MarketProgram
from exchange.vocabulary.events import SessionOpened
from exchange.vocabulary.network_port import Networks, SecurityState, network_in
from exchange.vocabulary.rules import ConnectionTerms, MarketRules
from security_check.arrays import IntArray
from security_check.checking.verdict import LimitChange
from security_check.model.envelope import Direction, EnvelopeSet

ROUNDS = 24
"""Programs solved at most for one auction."""

_STILL = 1e-7  # relative to the gain: a round that adds less is the last
_LESS = 0.8  # factor on the headroom that the program may use after a refused solution
_DIRECTIONS = (Direction.INJECTION, Direction.WITHDRAWAL)


@dataclass(frozen=True, slots=True)
class Auction:
    """The outcome of an auction of all orders.

    Parameters
    ----------
    gain
        By interval: the buyers' limit prices less the sellers', and less the reserve price of
        watts issued, in tick-watts.
    rent
        The congestion rent at its local prices, in tick-watts.
    """

    gain: dict[datetime, int]
    rent: int


class Clairvoyant:
    """Auctions of all orders of some intervals.

    Parameters
    ----------
    grid
        The network.
    rules
        Of the market.
    terms
        Capacity and fallback of every connection point.
    """

    def __init__(
        self, grid: Networks, rules: MarketRules, terms: Mapping[str, ConnectionTerms]
    ) -> None:
        self._grid = grid
        self._rules = rules
        self._terms = [terms[point] for point in grid.connection_points]

    def auction(self, opened: Sequence[SessionOpened], orders: Sequence[Legs]) -> Auction:
        """Return the auction of orders of some intervals, which joint orders connect.

        Parameters
        ----------
        opened
            The intervals with their opening envelopes.
        orders
            The orders, oldest first.

        Raises
        ------
        ClearingError
            When the program could not be solved.
        GridError
            When the power flow found no solution.
        """
        networks = [self._opening(event) for event in opened]
        starts = [event.start for event in opened]
        start_w = np.concatenate([_limits_w(network) for network in networks])
        traded_w = np.zeros_like(start_w)
        best: tuple[Sequence[Execution], LocalPrices] | None = None
        gain, share = 0, 1.0
        for _ in range(ROUNDS):
            rows = self._bounded(_rows(networks, traded_w, share), start_w)
            program = MarketProgram(starts, self._grid.connection_points, self._rules, rows)
            for legs in orders:
                program.add(legs, incoming=True)
            optimum = program.clearing.optimum()
            if optimum.gain <= gain * (1 + _STILL):
                break
            executions = program.executions(optimum)
            wanted_w = _changes_w(executions, len(start_w))
            if self._put_into_force(networks, wanted_w - traded_w):
                traded_w, gain, share = wanted_w, optimum.gain, 1.0
                best = executions, optimum.prices
            else:
                share *= _LESS
        return self._outcome(starts, best)

    def _opening(self, opened: SessionOpened) -> SecurityState:
        envelopes = EnvelopeSet(
            self._grid.connection_points,
            [envelope.injection_limit_w for envelope in opened.envelopes],
            [envelope.withdrawal_limit_w for envelope in opened.envelopes],
        )
        network = network_in(self._grid, opened.start)
        return network.resume(opened.interface_limits, envelopes)

    def _bounded(self, rows: NetworkRows, start_w: IntArray) -> NetworkRows:
        """Keep every limit between fallback and capacity, which all orders together may exceed."""
        each = [[(t.capacity_w(d), t.fallback_w(d)) for t in self._terms] for d in _DIRECTIONS]
        capacity_w, fallback_w = np.array(each, dtype=np.int64).reshape(-1, 2).T
        intervals = len(start_w) // len(capacity_w)
        return replace(
            rows,
            rise_w=np.tile(capacity_w, intervals) - start_w,
            fall_w=start_w - np.tile(fallback_w, intervals),
        )

    def _put_into_force(self, networks: Sequence[SecurityState], changes_w: IntArray) -> bool:
        """Commit changes if the AC power flow confirms them in every interval; return whether."""
        parts = [
            (network, self._limit_changes(own))
            for network, own in zip(networks, np.split(changes_w, len(networks)), strict=True)
            if own.any()
        ]
        # All networks confirm, because each refusal updates the rows of its network.
        verdicts = [network.confirm(changes) for network, changes in parts]
        if not all(verdict.secure for verdict in verdicts):
            return False
        for network, changes in parts:
            network.commit(changes)
        return True

    def _limit_changes(self, changes_w: IntArray) -> list[LimitChange]:
        points = self._grid.connection_points
        return [
            LimitChange(points[i % len(points)], _DIRECTIONS[i // len(points)], int(changes_w[i]))
            for i in np.flatnonzero(changes_w).tolist()
        ]

    def _outcome(
        self, starts: Sequence[datetime], best: tuple[Sequence[Execution], LocalPrices] | None
    ) -> Auction:
        gain = dict.fromkeys(starts, 0)
        if best is None:
            return Auction(gain, 0)
        executions, prices = best
        reserve = self._rules.reserve_price_ticks
        for each in executions:
            for leg in each.order.legs:
                start = starts[leg.column // (2 * len(self._terms))]
                change_w = each.order.change_w(leg, each.quantity_w)
                gain[start] += change_w * (each.order.price_of(leg) - reserve)
        return Auction(gain, at_local_prices(executions, prices.local, reserve).rent)


def _limits_w(network: SecurityState) -> IntArray:
    held = network.envelopes()
    return np.concatenate([held.injection_w, held.withdrawal_w])


def _rows(networks: Sequence[SecurityState], traded_w: IntArray, share: float) -> NetworkRows:
    """Return the rows of all intervals as seen from the opening envelopes.

    Their headroom is that used by trades so far and a share of the rest.
    """
    found = []
    for network, own_w in zip(networks, np.split(traded_w, len(networks)), strict=True):
        rows = network.linear_rows()
        parts = []
        for part in rows.parts:
            used = part.A @ own_w[part.limits] / rows.base_power_w
            # An updated row may be exceeded at the present point: then all of its negative headroom
            # counts.
            room = np.where(part.headroom > 0, share * part.headroom, part.headroom)
            parts.append(replace(part, headroom=used + room))
        found.append(NetworkRows(tuple(parts), rows.limits, rows.base_power_w))
    return found[0] if len(found) == 1 else NetworkRows.joined(found)


def _changes_w(executions: Sequence[Execution], columns: int) -> IntArray:
    changes_w = np.zeros(columns, dtype=np.int64)
    for each in executions:
        for leg in each.order.legs:
            changes_w[leg.column] += each.order.change_w(leg, each.quantity_w)
    return changes_w
