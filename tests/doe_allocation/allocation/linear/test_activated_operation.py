"""Flexibility that was matched, in the rows of a linear network: against every subset."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from linear_areas import BUSES, LinearArea, linear_areas

from doe_allocation.allocation.linear.flow_rows import FlowRows
from doe_allocation.allocation.linear.operation import LinearOperation
from security_check.errors import GridError
from security_check.model.envelope import EnvelopeSet
from security_check.model.limits import InterfaceLimits
from security_check.model.linear_network import LinearNetwork

Moves = list[tuple[int, int, int]]


MOVES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(1, 60)), max_size=3)
"""What a request moves: watts from one bus to another, each time."""


def by_bus(moved: Moves) -> dict[str, int]:
    found: dict[str, int] = {}
    for source, target, watts in moved:
        for bus, change in ((BUSES[source], -watts), (BUSES[target], watts)):
            found[bus] = found.get(bus, 0) + change
    return found


@given(linear_areas(), MOVES, st.lists(MOVES, max_size=4))
def test_activated_rows_leave_what_the_worst_subset_of_requests_leaves(
    area: LinearArea, firm: Moves, conditional: list[Moves]
) -> None:
    """Flows follow from the angles of a circuit, with each subset added to the set point."""
    certain, requests = by_bus(firm), [by_bus(each) for each in conditional]
    limits = InterfaceLimits(0.98, 1.04, 10_000, 10_000)
    operation = area.grid().activated(certain, requests).operation
    rows = FlowRows.of(operation, limits)
    count = len(area.lower_w)
    idle = np.zeros(len(area.points))
    found = []
    for active in itertools.product([False, True], repeat=len(requests)):
        moved = area.setpoint_w.copy()
        for each, is_on in zip([certain, *requests], [True, *active], strict=True):
            for bus, watts in each.items():
                moved[BUSES.index(bus)] += is_on * watts
        flows = replace(area, setpoint_w=moved).flows_w(idle)
        found.append([area.upper_w - flows, flows - area.lower_w])
    upper, lower = np.min(found, axis=0)
    left = rows.headroom_w(np.zeros(2 * len(area.points)))
    assert left[:count] == pytest.approx(upper, abs=1e-6)
    assert left[count : 2 * count] == pytest.approx(lower, abs=1e-6)


@given(linear_areas(), st.lists(st.integers(0, 400), min_size=8, max_size=8))
def test_the_spread_of_envelopes_is_that_of_their_vertices(
    area: LinearArea, limits_w: list[int]
) -> None:
    injection, withdrawal = np.array(limits_w[:4]), np.array(limits_w[4:])
    held = EnvelopeSet(area.points, injection, withdrawal)
    above, below = area.operation().spread_w(held)
    least, largest = area.extremes_w(injection, withdrawal)
    at_rest = area.flows_w(np.zeros(4))
    assert above == pytest.approx(largest - at_rest, abs=1e-6)
    assert below == pytest.approx(at_rest - least, abs=1e-6)


def test_a_bus_that_is_gone_is_named() -> None:
    one = np.ones(1)
    with pytest.raises(GridError, match="there is no bus Z any more"):
        LinearOperation(
            LinearNetwork(("A", "B"), ("b",), np.zeros((1, 2)), -one, one),
            ("load:0",),
            np.array([1]),
            np.zeros(2),
        ).activated({"Z": 5, "A": -5}, [])
