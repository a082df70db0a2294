"""Random linear networks, and orders for flexibility on them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from doe_allocation.procurement.choices import FlexDirection
from exchange.flexibility.flex_order import FlexOrder
from orderbook.order import Side
from security_check.model.linear_network import LinearNetwork, ReactiveBranch


def random_branches(
    rng: np.random.Generator, buses: int, meshes: int
) -> tuple[list[str], list[ReactiveBranch]]:
    """Return a random tree with so many branches more."""
    names = [f"n{k}" for k in range(buses)]
    ends = [(int(rng.integers(0, k)), k) for k in range(1, buses)]
    ends += [tuple(rng.choice(buses, 2, replace=False)) for _ in range(meshes)]
    branches = [
        ReactiveBranch(f"b{k}", names[one], names[other], float(rng.uniform(0.01, 1.0)))
        for k, (one, other) in enumerate(ends)
    ]
    return names, branches


@dataclass(frozen=True)
class LinearMarket:
    """A network, a set point, and orders in their order of arrival; numbers from 1 on."""

    network: LinearNetwork
    set_point_w: np.ndarray
    orders: list[FlexOrder]


def random_market(seed: int, orders: int = 12) -> LinearMarket:
    """Return a market in which some orders are blocked, and some relieve others."""
    rng = np.random.default_rng(seed)
    buses = int(rng.integers(2, 7))
    names, branches = random_branches(rng, buses, int(rng.integers(0, 3)))
    wide = np.full(len(branches), 1.0)
    shape = LinearNetwork.of_reactances(names, names[0], branches, -wide, wide)
    set_point = rng.integers(-50, 50, buses).astype(float)
    set_point[0] -= set_point.sum()
    flow = shape.ptdf @ set_point
    # Some branches are full, or above their limit already.
    upper = np.ceil(np.maximum(flow, 0.0) + rng.choice([-2.0, 0.0, 5.0, 40.0], len(branches)))
    lower = np.floor(np.minimum(flow, 0.0) - rng.choice([-2.0, 0.0, 5.0, 40.0], len(branches)))
    upper = np.maximum(upper, lower + 1.0)
    network = LinearNetwork(shape.buses, shape.branches, shape.ptdf, lower, upper)
    made = [
        FlexOrder(
            number,
            Side.BUY if rng.random() < 0.5 else Side.SELL,
            int(rng.integers(1, 12 if rng.random() < 0.7 else 3)),
            int(rng.integers(1, 40)),
            bus=int(rng.integers(buses)),
            direction=FlexDirection(rng.choice(["upward", "downward"])),
            interval="",
        )
        for number in range(1, orders + 1)
    ]
    for each in made:
        each.conditional = each.is_request and bool(rng.random() < 0.5)
    return LinearMarket(network, set_point, made)


@dataclass
class Bookkeeping:
    """An independent account of what was matched: the injections of every subset of requests."""

    market: LinearMarket
    matched: list[tuple[FlexOrder, FlexOrder, int]]

    def flows_w(self) -> np.ndarray:
        """Shape (subsets, branches): the flows with each subset of conditional requests active."""
        chosen = sorted({r.order_id for _, r, _ in self.matched if r.conditional})
        found = []
        for active in itertools.product([False, True], repeat=len(chosen)):
            on = {number for number, is_on in zip(chosen, active, strict=True) if is_on}
            injection = self.market.set_point_w.copy()
            for offer, request, quantity_w in self.matched:
                if request.conditional and request.order_id not in on:
                    continue
                sign = 1 if offer.direction is FlexDirection.UPWARD else -1
                injection[offer.bus] += sign * quantity_w
                injection[request.bus] -= sign * quantity_w
            found.append(self.market.network.ptdf @ injection)
        return np.array(found)

    def excess_w(self, *, since: Bookkeeping | None = None) -> float:
        """Return by how much a flow of a subset is beyond its limits.

        A flow that was beyond a limit before, at the set point or as another account has it, may
        be as large as it was there.
        """
        network, flows = self.market.network, self.flows_w()
        before = (since or Bookkeeping(self.market, [])).flows_w()
        above = flows - np.maximum(network.upper_w, before.max(axis=0))
        below = np.minimum(network.lower_w, before.min(axis=0)) - flows
        return float(np.maximum(above, below).max())
