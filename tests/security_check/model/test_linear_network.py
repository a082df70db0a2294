"""Distribution factors of linear networks against pandapower's linear power flow."""

from __future__ import annotations

import numpy as np
import pandapower as pp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from linear_markets import random_branches

from security_check.errors import NetworkFaults
from security_check.model.linear_network import LinearNetwork, ReactiveBranch


def flows_of_pandapower(
    buses: list[str], branches: list[ReactiveBranch], injection_mw: np.ndarray
) -> np.ndarray:
    net = pp.create_empty_network(sn_mva=1.0)
    for _ in buses:
        pp.create_bus(net, vn_kv=1.0)
    index = {bus: k for k, bus in enumerate(buses)}
    pp.create_ext_grid(net, 0)
    for each in branches:
        ends = index[each.from_bus], index[each.to_bus]
        pp.create_impedance(net, *ends, rft_pu=0.0, xft_pu=each.reactance, sn_mva=1.0)
    for k, injected in enumerate(injection_mw):
        pp.create_sgen(net, k, p_mw=float(injected))
    pp.rundcpp(net)
    return net.res_impedance["p_from_mw"].to_numpy()


@given(st.integers(2, 9), st.integers(0, 4), st.integers(0, 2**32 - 1))
def test_flows_are_those_of_a_linear_power_flow(buses: int, meshes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    names, branches = random_branches(rng, buses, meshes)
    limit = np.ones(len(branches))
    network = LinearNetwork.of_reactances(names, names[0], branches, -limit, limit)
    injection_mw = rng.normal(size=buses)
    expected = flows_of_pandapower(names, branches, injection_mw)
    assert network.ptdf @ injection_mw == pytest.approx(expected, abs=1e-7)


def made(*branches: ReactiveBranch, slack: str = "a", buses: str = "abc") -> LinearNetwork:
    limit = np.ones(len(branches))
    return LinearNetwork.of_reactances(list(buses), slack, branches, -limit, limit)


AB, BC = ReactiveBranch("1", "a", "b", 0.1), ReactiveBranch("2", "b", "c", 0.1)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: made(AB), "c: no branch leads from it to the slack bus"),
        (lambda: made(AB, BC, slack="x"), "slack_bus: there is no bus x"),
        (lambda: made(AB, BC._replace(to_bus="d")), "2: there is no bus d"),
        (lambda: made(AB, BC._replace(reactance=0.0)), "2: its reactance is 0"),
        (lambda: made(AB, BC._replace(to_bus="b")), "2: both of its ends are bus b"),
        (lambda: made(AB, BC._replace(name="1")), "1: there are two branches of this name"),
        (lambda: made(AB, BC, buses="abcb"), "b: there are two buses of this name"),
        (
            lambda: LinearNetwork(("a",), ("1",), np.zeros((1, 1)), np.ones(1), np.ones(1)),
            "1: its limits 1 W and 1 W leave no room",
        ),
        (
            lambda: LinearNetwork(("a",), ("1",), np.zeros((1, 2)), -np.ones(1), np.ones(1)),
            r"ptdf: its shape is \(1, 2\), but there are 1 branches and 1 buses",
        ),
    ],
)
def test_a_faulty_network_is_refused_by_name(make, said: str) -> None:
    with pytest.raises(NetworkFaults, match=said):
        make()
