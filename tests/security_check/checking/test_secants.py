"""A change that was refused is excluded by the rows afterwards, and what is secure is not."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import INVERTER_AREAS, REACTIVE_AREAS, SMALL_AREAS, small_area
from sampling import examples
from trade_moves import moved

from security_check.model.envelope import Direction

AREAS = SMALL_AREAS | REACTIVE_AREAS | INVERTER_AREAS


@settings(deadline=None, max_examples=examples(150))
@given(name=st.sampled_from(sorted(AREAS)), seed=st.integers(0, 10**6))
def test_a_refused_change_is_excluded_and_the_envelopes_in_force_are_not(
    name: str, seed: int
) -> None:
    """Whatever the quantity does on the way: bend up, bend down, or end level."""
    check = small_area(**AREAS[name]).allocate()
    rng, points = np.random.default_rng(seed), list(check.connection_points)
    for _ in range(6):
        direction = list(Direction)[rng.integers(2)]
        seller, buyer = (str(each) for each in rng.choice(points, 2, replace=False))
        column = points.index(seller) + (direction is Direction.WITHDRAWAL) * len(points)
        quantity_w = int(check.limits_w[column] * rng.choice([0.05, 0.3, 1.0]))
        changes = moved(direction, seller, buyer, quantity_w)
        if not quantity_w or check.confirm(changes).secure:
            continue
        assert check.largest_secure_w(direction, seller, buyer, quantity_w)[0] < quantity_w
        (rows,) = check.linear_rows().parts
        change = np.zeros(len(check.limits_w))
        for each in changes:
            own = points.index(each.connection_point)
            change[own + (direction is Direction.WITHDRAWAL) * len(points)] = each.change_w
        base_w = check.robust_rows.monitors.power_flow.network.base_power_w
        assert (rows.A @ change / base_w > rows.headroom).any()
        assert (rows.A >= 0.0).all()
        assert (rows.headroom >= -1e-8).all()
