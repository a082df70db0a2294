"""A small hierarchy with a market in it, and pandapower's own power flow of it."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandapower as pp
from hierarchy_cases import write

from doe_allocation.coordination.ac_model import AcModel, OperatingPoint, market_of
from doe_allocation.coordination.problem import Offer, Portfolio, SystemNeed
from doe_allocation.hierarchy.joint_model.members import Hierarchy
from doe_allocation.hierarchy.joint_model.newton import settings
from doe_allocation.procurement.choices import FlexDirection
from gateway.hierarchy.loading import load_hierarchy

UP, DOWN = FlexDirection.UPWARD, FlexDirection.DOWNWARD
OFFERS = (
    Offer("plant", "plant", "top", "load:0", UP, 12_000_000, 70.0),
    Offer("park up", "park", "middle", "load:0", UP, 4_000_000, 30.0),
    Offer("park down", "park", "middle", "load:0", DOWN, 3_000_000, 8.0),
    Offer("park var", "park", "middle", "load:0", DOWN, 1_500_000, 12.0, reactive=True),
    Offer("left up", "home", "left", "load:0", UP, 50_000, 22.0),
    Offer("left down", "home", "left", "load:1", DOWN, 30_000, 9.5),
    Offer("right up", "home", "right", "load:1", UP, 40_000, 25.5),
)
# With 6 MW behind it, the first line of `middle` is at 65 % of its rating.
BASE_W = {"top": -3e6, "middle": 6e6, "left": 20e3, "right": 10e3}
LOADINGS = {("middle", "line:0"): 0.62, ("top", "line:0"): 0.24}


@cache
def loaded_hierarchy() -> Hierarchy:
    with TemporaryDirectory() as folder:
        return load_hierarchy(write(Path(folder)))


@cache
def model(
    offers: tuple[Offer, ...] = OFFERS,
    source_pu: float = 1.01,
    band: tuple[float, float] | None = None,
    base_w: tuple[tuple[str, float], ...] = tuple(BASE_W.items()),
) -> AcModel:
    hierarchy = loaded_hierarchy()
    need = SystemNeed(UP, 5_000_000, 500.0)
    parties = (Portfolio("trader", 1_000_000, 90.0),)
    market = market_of(hierarchy, offers, need, parties, 0.95)
    base = []
    for member in hierarchy.members:
        for point, ratio in zip(
            member.network.connection_points, member.network.reactive_ratio, strict=True
        ):
            if point not in member.children:
                base.append(dict(base_w)[member.name] * (1.0 + 1j * float(ratio)))
    return AcModel(hierarchy, market, np.array(base), source_pu, LOADINGS, band)


def solved_by_pandapower(point: OperatingPoint) -> pp.pandapowerNet:
    """Return the joint net after pandapower's own power flow of an operating point."""
    flow = model().flow
    net = copy.deepcopy(flow.net)
    rows = [row for _, _, row in flow.joined.customers()]
    power = point.power * flow.base_w / 1e6
    net.load.loc[rows, "p_mw"], net.load.loc[rows, "q_mvar"] = -power.real, -power.imag
    net.ext_grid["vm_pu"] = point.source_pu
    pp.runpp(net, **settings(flow.joined))
    return net
