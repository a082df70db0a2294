"""Random pandapower nets with whatever is off-nominal: ratings, taps, shifts, parallel, derated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandapower as pp

Net = Any

_KV = {110.0: (20.0, 10.0), 20.0: (10.0, 0.4), 10.0: (0.4,)}


def random_net(seed: int, *, untyped: bool = False, limited: bool = False) -> Net:
    """Return a balanced net of two levels of transformers and a few lines behind each winding.

    Parameters
    ----------
    untyped
        Leave ``tap_changer_type`` out, as nets of pandapower 2 do.
    limited
        State ``max_loading_percent`` and ``in_ka`` as well.
    """
    rng = np.random.default_rng(seed)
    net = pp.create_empty_network(sn_mva=float(rng.choice([0.1, 1.0, 100.0])))
    top = pp.create_bus(net, 110.0)
    pp.create_ext_grid(net, top)
    if rng.random() < 0.6:
        below = _three_windings(net, top, rng, untyped)
    else:
        below = [_two_windings(net, top, float(rng.choice(_KV[110.0])), rng, untyped)]
    ends = []
    for bus in below:
        ends += _lines(net, bus, rng)
    for bus in rng.permutation(ends)[:2].tolist():
        lower = _KV.get(float(net.bus.vn_kv.at[bus]))
        if lower is not None:
            head = _two_windings(net, bus, float(rng.choice(lower)), rng, untyped)
            ends += _lines(net, head, rng)
    for bus in ends:
        kv = net.bus.vn_kv.at[bus]
        pp.create_load(net, int(bus), p_mw=0.03 * kv**1.5 * float(rng.uniform(0.2, 1)), q_mvar=0.0)
    if rng.random() < 0.5:
        pp.create_shunt(net, int(rng.choice(ends)), q_mvar=-0.001, vn_kv=1.02 * kv, step=2)
    net.line.loc[rng.random(len(net.line)) < 0.1, "g_us_per_km"] = 3.0
    if limited:
        _limit(net, rng)
    return net


def _off(rng: np.random.Generator, kv: float) -> float:
    return kv * float(rng.choice([1.0, rng.uniform(0.93, 1.07)]))


def _tap(rng: np.random.Generator, sides: tuple[str, ...], untyped: bool) -> dict[str, Any]:
    return {
        "tap_side": str(rng.choice(sides)),
        "tap_neutral": int(rng.integers(-1, 2)),
        "tap_min": -5,
        "tap_max": 5,
        "tap_step_percent": float(rng.uniform(0.5, 2.0)),
        "tap_step_degree": float(rng.choice([0.0, 0.0, rng.uniform(-90, 90)])),
        "tap_pos": int(rng.integers(-3, 4)),
        "tap_changer_type": None if untyped else str(rng.choice(["Ratio", "Symmetrical"])),
    }


def _two_windings(net: Net, bus: int, kv: float, rng: np.random.Generator, untyped: bool) -> int:
    upper = float(net.bus.vn_kv.at[bus])
    lower = pp.create_bus(net, kv)
    vk = float(rng.uniform(3, 14))
    pp.create_transformer_from_parameters(
        net, bus, lower, sn_mva=0.02 * upper**1.4 * float(rng.uniform(0.7, 1.4)),
        vn_hv_kv=_off(rng, upper), vn_lv_kv=_off(rng, kv), vkr_percent=vk * rng.uniform(0.02, 0.5),
        vk_percent=vk, pfe_kw=float(rng.choice([0, 1.0])), i0_percent=float(rng.uniform(0, 0.5)),
        shift_degree=float(rng.choice([0, 30, 150, -30, 5.5])), parallel=int(rng.integers(1, 4)),
        df=float(rng.choice([1.0, 0.8])), **_tap(rng, ("hv", "lv"), untyped),
    )  # fmt: skip
    return int(lower)


def _three_windings(net: Net, bus: int, rng: np.random.Generator, untyped: bool) -> list[int]:
    levels = (110.0, 20.0, 10.0)
    below = [int(pp.create_bus(net, kv)) for kv in levels[1:]]
    ends = ("hv", "mv", "lv")
    sizes = dict(zip(ends, np.sort(rng.uniform(10, 30, 3))[::-1].tolist(), strict=True))
    how: dict[str, float] = {}
    for end, kv in zip(ends, levels, strict=True):
        how |= {
            f"vn_{end}_kv": _off(rng, kv),
            f"sn_{end}_mva": sizes[end],
            f"vk_{end}_percent": float(rng.uniform(9, 13)),
            f"vkr_{end}_percent": float(rng.uniform(0.2, 0.6)),
        }
    pp.create_transformer3w_from_parameters(
        net, bus, *below, **how, pfe_kw=float(rng.uniform(0, 20)),
        i0_percent=float(rng.uniform(0, 0.1)),
        shift_mv_degree=float(rng.choice([0, 30])), shift_lv_degree=float(rng.choice([0, 150])),
        tap_at_star_point=bool(rng.random() < 0.3), **_tap(rng, ends, untyped),
    )  # fmt: skip
    return below


def _lines(net: Net, bus: int, rng: np.random.Generator) -> list[int]:
    kv = float(net.bus.vn_kv.at[bus])
    ends: list[int] = []
    for _ in range(int(rng.integers(1, 4))):
        start = int(rng.choice([bus, *ends]))
        ends.append(int(pp.create_bus(net, kv)))
        pp.create_line_from_parameters(
            net, start, ends[-1], length_km=0.02 * kv * float(rng.uniform(0.2, 1)),
            r_ohm_per_km=float(rng.uniform(0.05, 0.4)), x_ohm_per_km=float(rng.uniform(0.05, 0.4)),
            c_nf_per_km=float(rng.uniform(0, 300)), max_i_ka=float(rng.uniform(0.1, 0.5)),
            parallel=int(rng.integers(1, 3)), df=float(rng.choice([1.0, 0.7])),
        )  # fmt: skip
    return ends


def _limit(net: Net, rng: np.random.Generator) -> None:
    for table in ("line", "trafo", "trafo3w"):
        some = rng.choice([50.0, 80.0, 100.0, np.nan], len(net[table]))
        net[table]["max_loading_percent"] = some
    for index in net.line.index[rng.random(len(net.line)) < 0.5]:
        bus = int(net.line.at[index, str(rng.choice(["from_bus", "to_bus"]))])
        pp.create_switch(net, bus, int(index), et="l", in_ka=float(rng.uniform(0.02, 0.5)))
    for index in net.trafo.index[rng.random(len(net.trafo)) < 0.5]:
        bus = int(net.trafo.at[index, str(rng.choice(["hv_bus", "lv_bus"]))])
        pp.create_switch(net, bus, int(index), et="t", in_ka=float(rng.uniform(0.02, 0.5)))
