"""What is proved of published envelopes, as their reader is told."""

from __future__ import annotations

import numpy as np
import pytest
from brute_force import violation
from networks import SMALL_AREAS, simbench_network, small_area

from doe_allocation.capacity import Capacity
from doe_allocation.network_grid import NetworkGrid
from security_check.limits import InterfaceLimits, VoltageLimits
from security_check.monotonicity import Standing
from security_check.outages import Outage
from security_check.proof import Proof

BAND = InterfaceLimits(0.98, 1.04)


def grid_of(code: str, capacity_w: int = 30_000) -> NetworkGrid:
    network = simbench_network(code)
    capacity = Capacity.same(network.connection_points, capacity_w, capacity_w)
    return NetworkGrid(network, VoltageLimits(), capacity)


@pytest.mark.parametrize("code", ["1-LV-semiurb4--0-sw", "1-LV-rural3--0-sw"])
def test_low_voltage_envelopes_are_proved_whole(code: str) -> None:
    grid = grid_of(code)
    envelopes, proof = grid.prove(BAND)
    assert proof.secure
    assert proof.reason == ""
    assert proof.standing[Standing.CHECKED] == proof.standing[Standing.WITHIN] == 0
    assert sum(proof.standing.values()) == len(grid.robust_rows(BAND).limited)
    assert {found.proof for found in proof.explanations} == {"proved"}
    elements = {found.verdict.element for found in proof.explanations}
    named = set(envelopes.injection_bottlenecks + envelopes.withdrawal_bottlenecks)
    assert elements == named


def test_a_mixed_vertex_is_shown_as_one() -> None:
    _, proof = grid_of("1-LV-semiurb4--0-sw").prove(BAND)
    mixed = [
        found
        for found in proof.explanations
        if (found.situation.power_w > 0).any() and (found.situation.power_w < 0).any()
    ]
    assert mixed
    assert "injecting" in mixed[0].verdict.worst_case
    assert "0.98 p.u. at the interface" in mixed[0].verdict.worst_case


@pytest.mark.parametrize("name", SMALL_AREAS)
def test_what_is_proved_secure_is_so_at_every_vertex(name: str) -> None:
    area = small_area(**SMALL_AREAS[name])
    envelopes, proof = area.grid.prove(area.limits.interface)
    limits_w = np.concatenate([envelopes.injection_w, envelopes.withdrawal_w])
    assert proof.secure == (name != "interface")  # there the power's bound is 0.16 % too wide
    assert violation(area.flow, area.limits, limits_w) <= 1e-9


def test_medium_voltage_is_told_apart() -> None:
    """Where worst points may lie inside the box, not everything is proved, and it is said so."""
    _, proof = grid_of("1-MV-rural--0-sw", 300_000).prove(BAND)
    assert not proof.secure
    within = [found.proof for found in proof.explanations if found.proof.endswith("%")]
    assert within
    assert proof.standing[Standing.WITHIN] + proof.standing[Standing.CHECKED] > 0


def test_after_outages_everything_is_only_checked() -> None:
    area = small_area(**SMALL_AREAS["a mesh"])
    network, capacity = area.grid.network, area.grid.capacity
    outages = [Outage(network.terminals.elements[-1], network)]
    _, proof = NetworkGrid(network, area.limits.voltage, capacity, outages=outages).prove(
        area.limits.interface
    )
    said_so(proof, "outages")


def said_so(proof: Proof, reason: str) -> None:
    assert not proof.secure
    assert reason in proof.reason
    assert proof.standing[Standing.PROVED] == 0
    assert proof.standing[Standing.CHECKED] > 0
    assert all(found.proof.startswith("only checked") for found in proof.explanations)
