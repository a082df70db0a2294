"""Agreeing a contract: on real networks, and between two sides of which everything is known."""

from __future__ import annotations

import functools
import itertools
from dataclasses import replace

import numpy as np
import pytest
from hierarchies import Owned, corner, joined, medium_voltage, owned, power_out, run
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import feeder
from presence import there

from doe_allocation.hierarchy.allocation import allocate_hierarchy, sides_of
from doe_allocation.hierarchy.customer_classes import CustomerClass
from doe_allocation.hierarchy.interface_statement import InterfaceStatement
from doe_allocation.hierarchy.negotiation import ContractCurve, ContractOffer, agree, bands_within
from doe_allocation.hierarchy.operators import Child, Operator
from security_check.errors import Fault
from security_check.model.limits import InterfaceLimits, VoltageLimits

ABOVE = InterfaceLimits(0.99, 1.01)
POINT = "load:2"


@functools.cache
def real() -> tuple[Owned, ContractCurve]:
    """Return a child at the end of a long feeder with two large customers before it."""
    large = 3_000_000
    root = owned(
        "mv",
        medium_voltage(3, 2, km=12.0),
        {POINT: (owned("lv", feeder(4, 1)), (0.97, 1.04))},
        capacity_w={"load:0": large, "load:1": large, POINT: 100_000},
        limits=VoltageLimits(0.92, 1.08),
    )
    above, below = sides_of(root.operator, ABOVE, POINT)
    return root, agree(above, below, bands_within((0.91, 1.09), 4))


def under(root: Operator, band: tuple[float, float]) -> Operator:
    return replace(root, children={POINT: Child(root.children[POINT].operator, band)})


class TestRealNetworks:
    def test_there_is_something_to_agree_on(self) -> None:
        _, curve = real()
        front = curve.front
        assert len(front) >= 4
        below, above = np.array([(p.child_smallest_w, p.others_smallest_w) for p in front]).T
        assert (np.diff(below) > 0).all()
        assert (np.diff(above) < 0).all()
        assert below[0] < 0.5 * below[-1]
        assert curve.chosen in front
        assert curve.chosen not in (front[0], front[-1])

    def test_every_point_is_secure_on_both_sides(self) -> None:
        root, curve = real()
        for point in curve.front:
            result = allocate_hierarchy(under(root.operator, point.band), ABOVE)
            assert not result.unmet
            assert result.results["lv"].contract == point.contract
            below = result.results["lv"].customers.values()
            assert min(min(limits) for limits in below) == point.child_smallest_w
            others = result.results["mv"].customers.values()
            assert min(min(limits) for limits in others) == point.others_smallest_w
            for each in result.results.values():
                rng = np.random.default_rng(0)
                limits_w = there(each.check).limits_w
                assert each.grid.attack(each.contract, limits_w, rng).violation <= 1e-6

    def test_what_was_refused_cannot_be_kept(self) -> None:
        root, curve = real()
        refused = [p for p in curve.points if p.refusal is not None]
        assert refused
        for point in refused:
            result = allocate_hierarchy(under(root.operator, point.band), ABOVE)
            (unmet,) = result.unmet
            refusal = there(point.refusal)
            assert unmet.side == refusal.element
            assert str(unmet).endswith(refusal.detail)

    def test_wider_bands_serve_the_parent_and_cost_the_child(self) -> None:
        """Of nested bands; the child only where its envelope is not what limits it."""
        _, curve = real()
        open_ = [p for p in curve.points if p.refusal is None]
        pairs = [
            (inner, outer)
            for inner, outer in itertools.permutations(open_, 2)
            if outer.band[0] <= inner.band[0] and inner.band[1] <= outer.band[1]
        ]
        assert len(pairs) > 10
        for inner, outer in pairs:
            assert outer.others_smallest_w >= inner.others_smallest_w * (1.0 - 1e-6) - 1
            assert outer.child_smallest_w <= inner.child_smallest_w * (1.0 + 1e-6) + 1

    def test_the_chosen_contract_holds_in_the_joined_net(self) -> None:
        root, curve = real()
        chosen = there(curve.chosen)
        contract = chosen.contract
        result = allocate_hierarchy(under(root.operator, chosen.band), ABOVE)
        whole = joined(root)
        (boundary,) = whole.boundaries
        keys = list(result.customers)
        reached = []
        for sides in itertools.product((True, False), repeat=3):
            injects = dict(zip(keys, (*sides[:2], *[sides[2]] * (len(keys) - 2)), strict=True))
            for root_pu in (0.99, 1.01):
                net = run(whole, corner(result, injects), root_pu)
                reached.append(net.res_bus.vm_pu.at[boundary.parent_bus])
                out = power_out(net, boundary)
                assert -there(contract.withdrawal_limit_w) - 0.5 <= out.real
                assert out.real <= there(contract.injection_limit_w) + 0.5
                assert there(contract.reactive_min_var) - 0.5 <= out.imag
                assert out.imag <= there(contract.reactive_max_var) + 0.5
                assert net.res_bus.vm_pu[net.bus.vn_kv == 0.4].between(0.9 - 1e-7, 1.1 + 1e-7).all()
        low, high = chosen.band
        assert low - 1e-7 <= min(reached)
        assert max(reached) <= high + 1e-7
        # The parent uses the band it has promised: what it gains from a wider one is no illusion.
        assert min(min(reached) - low, high - max(reached)) < 0.01


class Sides:
    """Two sides of which everything is known; nothing but numbers passes between them."""

    def __init__(self, child_can: float = 0.2, parent_needs: float = 0.02) -> None:
        self.child_can, self.parent_needs = child_can, parent_needs
        self.stated: list[tuple[float, float]] = []

    def state(self, band: tuple[float, float]) -> InterfaceStatement:
        self.stated.append(band)
        width = band[1] - band[0]
        refusal = Fault("bus:1", "too wide") if width > self.child_can else None
        one = (CustomerClass(1.0, 1_000.0),)
        return InterfaceStatement(band, 0, 0, 1_000, 1_000, 0, 0, 0.0, 0.0, one, one, refusal)

    def offer(self, statement: InterfaceStatement) -> ContractOffer:
        assert statement.refusal is None, "the parent is not asked what the child refuses"
        width = statement.band[1] - statement.band[0]
        refusal = Fault("bus:2", "too narrow") if width < self.parent_needs else None
        return ContractOffer(1_000, 1_000, 5_000.0 * width, refusal)

    def smallest_w(self, contract: InterfaceLimits) -> float:
        return 1_000.0 * (self.child_can - (contract.voltage_max_pu - contract.voltage_min_pu))


class TestKnownSides:
    def test_refinement_comes_to_what_serves_the_worse_side_best(self) -> None:
        """Child's share falls from 1 at width 0.02 to 0 at 0.2, the parent's rises from 0.1."""
        sides = Sides()
        curve = agree(sides, sides, bands_within((0.9, 1.1), 5), refinements=8)
        best_below = max(p.child_smallest_w for p in curve.points)
        best_above = max(p.others_smallest_w for p in curve.points)
        low, high = there(curve.chosen).band
        width = high - low
        # Both shares are equal at the best: (0.2 - w) 1000 / best_below = 5000 w / best_above.
        expected = 0.2 / (1.0 + 5.0 * best_below / best_above)
        assert width == pytest.approx(expected, abs=1e-3)

    @settings(deadline=None, max_examples=50)
    @given(
        child_can=st.floats(0.01, 0.25), parent_needs=st.floats(0.0, 0.25), steps=st.integers(1, 6)
    )
    def test_the_choice_is_max_min_over_all_points(
        self, child_can: float, parent_needs: float, steps: int
    ) -> None:
        sides = Sides(child_can, parent_needs)
        curve = agree(sides, sides, bands_within((0.9, 1.1), steps), refinements=2)
        assert len(sides.stated) == len(set(sides.stated)) == len(curve.points)
        open_ = [p for p in curve.points if p.refusal is None]
        for point in curve.points:
            width = point.band[1] - point.band[0]
            expected = "child" if width > child_can else "parent" if width < parent_needs else None
            assert (point.refusal.element if point.refusal else None) == expected
        if not open_:
            assert curve.chosen is None
            assert curve.front == ()
            return
        most = max(p.child_smallest_w for p in open_), max(p.others_smallest_w for p in open_)

        def worse(point) -> float:
            return min(
                point.child_smallest_w / most[0] if most[0] else 1.0,
                point.others_smallest_w / (most[1] or 1.0),
            )

        assert worse(curve.chosen) == pytest.approx(max(map(worse, open_)), abs=1e-8)
        for point in open_:
            dominated = any(
                q.child_smallest_w >= point.child_smallest_w
                and q.others_smallest_w >= point.others_smallest_w
                and (
                    q.child_smallest_w > point.child_smallest_w
                    or q.others_smallest_w > point.others_smallest_w
                )
                for q in open_
            )
            assert (point in curve.front) == (not dominated)

    def test_no_band_is_no_question(self) -> None:
        with pytest.raises(ValueError, match="no voltage band"):
            agree(Sides(), Sides(), [])
