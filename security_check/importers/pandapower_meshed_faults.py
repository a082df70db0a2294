"""Faults of held voltages and of shares of the imbalance in a pandapower net."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from pandapower.topology import unsupplied_buses

from security_check.errors import Fault
from security_check.importers import Net
from security_check.importers.pandapower_faults import no_path, table_faults
from security_check.importers.pandapower_quantities import (
    is_positive,
    numbers,
    typed,
    wrong_quantities,
)
from security_check.importers.pandapower_tables import form_faults, in_service
from security_check.importers.pandapower_taps import Taps
from security_check.model.element_ids import element_id

_CONTROLLERS = ("ext_grid", "gen")  # tables of elements that hold a voltage


def meshed_faults(
    net: Net, table: str, passive: str, distributed_slack: bool, taps: Taps | None = None
) -> list[Fault]:
    """Return all faults in the tables of a net with generators.

    Parameters
    ----------
    net
        The net.
    table
        The table of the connection points.
    passive
        ``"none"`` or ``"as-given"``.
    distributed_slack
        Whether external grids and generators share the imbalance.
    taps
        As in :func:`~security_check.importers.pandapower_balanced.network_from_pandapower`.
    """
    if wrong := form_faults(net):
        return wrong
    net = typed(net)
    faults = []
    if not len(in_service(net, "ext_grid")):
        faults.append(Fault("interface", "an external grid must be in service, found none"))
    faults += list(_missing_buses(net)) or _unreachable(net)
    faults += [
        Fault(element_id("gen", i), "it is marked as slack: make it an external grid (ext_grid)")
        for i in net.gen.index[net.gen.in_service.astype(bool) & _marked(net.gen, "slack")]
    ]
    faults += [
        Fault(element_id("gen", i), "its reactive limits are a curve; only a range is supported")
        for i in net.gen.index[
            net.gen.in_service.astype(bool) & _marked(net.gen, "reactive_capability_curve")
        ]
    ]
    faults += wrong_quantities(net, "gen", ("vm_pu",), is_positive)
    faults += wrong_quantities(net, "gen", ("p_mw", "scaling"), np.isfinite)
    for kind in _CONTROLLERS:
        faults += _limit_faults(net, kind)
    if distributed_slack:
        faults += _weight_faults(net)
    faults += _set_point_faults(net)
    return faults + table_faults(net, table, passive, taps)


def _marked(rows: pd.DataFrame, column: str) -> Any:
    """Return the rows that a column marks; those without an entry are not marked."""
    return rows[column].eq(True) if column in rows else False


def _missing_buses(net: Net) -> Iterator[Fault]:
    rows = net.gen  # external grids are looked up with everything else
    for i in rows.index[~pd.Series(numbers(rows.bus), rows.index).isin(net.bus.index)]:
        yield Fault(element_id("gen", i), f"its bus {rows.bus.at[i]} does not exist")


def _unreachable(net: Net) -> list[Fault]:
    """Return the external grids and generators at buses without supply."""
    out = set(net.bus.index[~net.bus.in_service.astype(bool)])
    faults = []
    for kind, lost in (("ext_grid", out), ("gen", out | unsupplied_buses(net))):
        rows = in_service(net, kind)
        at = rows.bus
        faults += [no_path(element_id(kind, i), at.at[i]) for i in rows.index[at.isin(lost)]]
    return faults


def _limit_faults(net: Net, kind: str) -> list[Fault]:
    rows = in_service(net, kind)
    faults = []
    for quantity, unit in (("p_mw", "MW"), ("q_mvar", "Mvar")):
        low, high = f"min_{quantity}", f"max_{quantity}"
        if low in rows and high in rows:
            crossed = rows[low].astype(float) > rows[high].astype(float)
            faults += [
                Fault(
                    element_id(kind, i),
                    f"its {low} {rows[low].at[i]:g} {unit} is above its {high} "
                    f"{rows[high].at[i]:g} {unit}",
                )
                for i in rows.index[crossed]
            ]
    return faults


def _weight_faults(net: Net) -> list[Fault]:
    faults: list[Fault] = []
    whole = 0.0
    for kind in _CONTROLLERS:
        faults += wrong_quantities(net, kind, ("slack_weight",), _is_weight)
        whole += float(in_service(net, kind).slack_weight.sum())
    if not faults and whole <= 0.0:
        detail = "the slack weights of all external grids and generators add up to 0"
        faults.append(Fault("slack_weight", detail))
    return faults


def _is_weight(values: Any) -> Any:
    return np.isfinite(values) & (values >= 0)


def _set_point_faults(net: Net) -> list[Fault]:
    """Return the external grids and generators that hold one bus at different voltages."""
    wanted: dict[int, tuple[str, float]] = {}
    faults = []
    for kind in _CONTROLLERS:
        rows = in_service(net, kind)
        for i, bus, voltage in zip(rows.index, rows.bus, rows.vm_pu, strict=True):
            first, held = wanted.setdefault(int(bus), (element_id(kind, i), float(voltage)))
            if held != voltage:
                detail = f"it holds bus {bus} at {voltage:g} p.u., but {first} at {held:g} p.u."
                faults.append(Fault(element_id(kind, i), detail))
    return faults
