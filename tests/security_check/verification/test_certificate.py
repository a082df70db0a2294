"""What is proved of published envelopes, and how it is reported."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from brute_force import violation
from networks import SMALL_AREAS, simbench_network, small_area
from phase_networks import phase_net

from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from security_check.errors import InsecureError, ProofError
from security_check.importers.pandapower_phases import phases_from_pandapower
from security_check.model.element import State
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.model.network_state import NetworkState
from security_check.monitoring.monitors import Monitors
from security_check.verification.certificate import (
    THIS_WAY,
    Prover,
    SecurityCertificate,
    rows_beside,
)
from security_check.verification.enclosure import PortModel
from security_check.verification.monotonicity import MonotonicityProof, ProofStatus, prove_monotone
from security_check.verification.splitting import by_splitting

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
    assert proof.standing[ProofStatus.CHECKED] == proof.standing[ProofStatus.WITHIN] == 0
    assert sum(proof.standing.values()) == len(grid.robust_rows(BAND).limited)
    assert {found.proof for found in proof.explanations} <= {"proved", THIS_WAY}
    for element in {found.verdict.element for found in proof.explanations}:
        own = [found for found in proof.explanations if found.verdict.element == element]
        fullest = max(own, key=lambda found: found.verdict.loading)
        assert fullest.proof == "proved"
    elements = {found.verdict.element for found in proof.explanations}
    named = set(envelopes.injection_bottlenecks + envelopes.withdrawal_bottlenecks)
    assert elements == named


def test_a_mixed_vertex_is_shown_as_one() -> None:
    _, proof = grid_of("1-LV-semiurb4--0-sw").prove(BAND)
    mixed = [
        found
        for found in proof.explanations
        if (found.operating_point.power_w > 0).any() and (found.operating_point.power_w < 0).any()
    ]
    assert mixed
    assert "injecting" in mixed[0].verdict.worst_case
    assert "0.98 p.u. at the interface" in mixed[0].verdict.worst_case


@pytest.mark.parametrize("name", SMALL_AREAS)
def test_what_is_proved_secure_is_so_at_every_vertex(name: str) -> None:
    area = small_area(**SMALL_AREAS[name])
    envelopes, proof = area.grid.prove(area.limits.interface)
    limits_w = np.concatenate([envelopes.injection_w, envelopes.withdrawal_w])
    assert proof.secure
    assert violation(area.flow, area.limits, limits_w) <= 1e-9


@pytest.mark.slow
def test_medium_voltage_is_recognised() -> None:
    """Where worst points may lie inside the box, not everything is proved, and it is said so."""
    _, proof = grid_of("1-MV-rural--0-sw", 300_000).prove(BAND)
    assert not proof.secure
    within = [found.proof for found in proof.explanations if found.proof.endswith("%")]
    assert within
    assert proof.standing[ProofStatus.WITHIN] + proof.standing[ProofStatus.CHECKED] > 0


def test_each_state_is_proved_on_its_own() -> None:
    area = small_area(**SMALL_AREAS["a mesh"])
    network, capacity = area.grid.network, area.grid.capacity
    weaker = replace(network, admittance=network.admittance * 0.9)  # also at the interface
    states = [NetworkState(State((("trafo:0", 1),)), weaker)]
    grid = NetworkGrid(network, area.limits.voltage, capacity, states=states)
    envelopes, proof = grid.prove(area.limits.interface)
    assert proof.secure
    alone = [
        NetworkGrid(each, area.limits.voltage, capacity).prove(area.limits.interface, envelopes)[1]
        for each in (network, weaker)
    ]
    assert proof.standing == SecurityCertificate.joined(alone).standing
    named = [explained.verdict.element for explained in proof.explanations]
    assert named
    assert all(explained.proof for explained in proof.explanations)
    assert any("with trafo:0 at 1" in name for name in named)


def test_a_breach_in_another_state_is_found() -> None:
    area = small_area(**SMALL_AREAS["a mesh"])
    network, capacity = area.grid.network, area.grid.capacity
    envelopes, _ = area.grid.prove(area.limits.interface)
    weaker = replace(network, admittance=network.admittance * 0.5)
    grid = NetworkGrid(
        network,
        area.limits.voltage,
        capacity,
        states=[NetworkState(State((("trafo:0", 1),)), weaker)],
    )
    with pytest.raises(InsecureError, match=r"with trafo:0 at 1: "):
        grid.prove(area.limits.interface, envelopes)


def said_so(proof: SecurityCertificate, reason: str) -> None:
    assert not proof.secure
    assert reason in proof.reason
    assert proof.standing[ProofStatus.PROVED] == 0
    assert proof.standing[ProofStatus.CHECKED] > 0
    assert all(found.proof.startswith("only checked") for found in proof.explanations)


def phases_proved() -> tuple[NetworkGrid, SecurityCertificate, MonotonicityProof]:
    """Return a grid with phases, the certificate of its envelopes, and what is proved by row."""
    net = phase_net(6, 0, max_i_ka=0.3)
    net.trafo["sn_mva"] = 0.02  # its upper side is delta: customers of all phases meet there
    network = phases_from_pandapower(net, held="source")
    grid = NetworkGrid(
        network, VoltageLimits(), Capacity.same(network.connection_points, 30_000, 30_000)
    )
    check = grid.allocate(BAND)
    robust = check.robust_rows
    model, u = PortModel(network), check.limits_w / network.base_power_w
    found = prove_monotone(model, robust.conditions, u, robust.limits.limit)
    found, _ = by_splitting(found, model, robust.conditions, u, robust.limits)
    return grid, Prover().prove(check), found


def test_a_current_is_proved_by_all_rows_that_watch_it() -> None:
    """What is reported of one row holds for the current itself, along whatever direction."""
    grid, proof, found = phases_proved()
    monitors = grid.robust_rows(BAND).monitors
    assert isinstance(monitors, Monitors)
    reported = [each for each in proof.explanations if each.verdict.unit == "A"]
    assert reported
    several = 0
    for each in reported:
        rows = rows_beside(monitors, each.row)
        assert {monitors.phasor[row] for row in rows} == {monitors.phasor[each.row]}
        assert each.row in rows
        several += len(rows) > 2
        if each.proof == "proved":
            assert found.bound[rows].max() <= each.value_pu * (1 + 2e-6)
        if each.proof == "proved below its limit":
            assert found.secure[rows].all()
    assert several, "no current of this network is watched in more than two directions"


def test_a_value_above_what_is_proved_to_be_the_most_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    grid = grid_of("1-LV-semiurb4--0-sw")
    wrong: list[MonotonicityProof] = []

    def too_low(*arguments: Any) -> MonotonicityProof:
        found = prove_monotone(*arguments)
        wrong.append(replace(found, bound=found.bound - 1e-3 * np.abs(found.bound)))
        return wrong[-1]

    monkeypatch.setattr("security_check.verification.certificate.prove_monotone", too_low)
    with pytest.raises(ProofError, match=r"line:24: the power flow reaches .* its proved bound is"):
        grid.prove(BAND)
    assert wrong


def test_envelopes_that_are_held_are_proved_like_fair_ones() -> None:
    grid = grid_of("1-LV-semiurb4--0-sw")
    envelopes, fair = grid.prove(BAND)
    again, proof = grid.prove(BAND, envelopes)
    assert again == envelopes
    assert proof.standing == fair.standing
    assert [each.proof for each in proof.explanations] == [each.proof for each in fair.explanations]
    full = {each.verdict.element for each in proof.explanations}
    assert set(again.injection_bottlenecks + again.withdrawal_bottlenecks) <= full
