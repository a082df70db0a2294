"""One customer and one voltage: the smallest box there is, with two corners, in every model."""

from __future__ import annotations

from typing import Any

import pandapower as pp
import pytest
from sampling import some
from scenarios.test_stressed_networks import check_allocation
from stressed_checks import of_each
from stressed_networks import stressed_case

import doe_exchange as dx

KINDS: dict[str, dict[str, Any]] = {
    "balanced": {},
    "meshed": {"network": {"model": "meshed"}},
    "cone": {"capacity": {"cone_power_factor": 0.9}},
    "inverter": {"inverters": {"response": "ieee1547-b", "rating_va": 100_000}},
    "equal": {"fairness": "equal"},
    "proportional": {"fairness": "proportional"},
}


def feeders(count: int, r_ohm: float, x_ohm: float) -> Any:
    """Return separate feeders, each an external grid, a line rated 0.2 A and one customer."""
    net = pp.create_empty_network(sn_mva=1.0)
    for _ in range(count):
        source, end = pp.create_bus(net, 10.0), pp.create_bus(net, 10.0)
        pp.create_ext_grid(net, source)
        pp.create_line_from_parameters(net, source, end, 1.0, r_ohm, x_ohm, 0.0, max_i_ka=0.02)
        pp.create_load(net, end, 0.0)
    return net


ONE_INTERFACE = ("meshed", "proportional")  # these have no separate parts


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        (kind, count)
        for kind in KINDS
        for count in (1, 2)
        if count == 1 or kind not in ONE_INTERFACE
    ],
)
@pytest.mark.parametrize(("r_ohm", "x_ohm"), [(0.1, 0.1), (10.0, 1.0), (1.0, 100.0)])
def test_limits_of_separate_customers_are_secure_and_tight(kind, count, r_ohm, x_ohm):
    net = feeders(count, r_ohm, x_ohm)
    area = dx.Area.from_pandapower(net, capacity_w=340_000, interface=(1.0, 1.0), **KINDS[kind])
    envelopes = area.allocate()
    assert envelopes.verify().secure
    limits = envelopes.to_frame()
    for sign, column in ((-1.0, "injection_limit_w"), (1.0, "withdrawal_limit_w")):
        net.load["p_mw"] = sign * limits[column].to_numpy() / 1e6
        pp.runpp(net)
        if kind in ("cone", "inverter"):
            continue  # reactive power is not that of this power flow
        assert net.res_line.loading_percent.max() <= 100.0001
        full = net.res_line.loading_percent > 99.9
        assert (full.to_numpy() | (limits[column].to_numpy() == 340_000)).all()


@pytest.mark.parametrize("seed", range(12))
def test_stressed_networks_of_one_customer_are_secure_and_fair(seed):
    check_allocation(stressed_case(seed, 1, 1))


@pytest.mark.slow
@pytest.mark.parametrize("first", some(range(100, 400, 50), 3))
def test_many_stressed_networks_of_one_customer_are_secure_and_fair(first):
    of_each(range(first, first + 50), lambda seed: check_allocation(stressed_case(seed, 1, 1)))
