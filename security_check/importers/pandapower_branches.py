"""Faults of the branches and switches of a pandapower net: what their numbers mean together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from security_check.arrays import FloatArray
from security_check.errors import Fault
from security_check.importers import Net
from security_check.importers.pandapower_quantities import numbers, shown
from security_check.importers.pandapower_tables import in_service
from security_check.model.element_ids import element_id

LEAST_SHORT_CIRCUIT_MVA = 1e-3
"""A branch that would pass less than 1 kVA with one end short-circuited carries no customer."""


def branch_faults(net: Net) -> list[Fault]:
    """Return the faults of lines, transformers, impedances and switches."""
    return [
        *switch_faults(net),
        *_impedance_faults(net),
        *_losses_nowhere(net),
        *_two_levels(net),
        *_unlike_buses(net),
        *_idle_losses(net),
        *_leaking_lines(net),
    ]


def _impedance_faults(net: Net) -> Iterator[Fault]:
    """Yield the branches that have no impedance, or one through which nothing could pass."""
    line = in_service(net, "line")
    nothing = (numbers(line.r_ohm_per_km) == 0) & (numbers(line.x_ohm_per_km) == 0)
    for i in line.index[nothing]:
        yield Fault(element_id("line", i), "its impedance is zero")
    rows = in_service(net, "impedance")
    for one, other in (("rft_pu", "xft_pu"), ("rtf_pu", "xtf_pu")):
        for i in rows.index[(numbers(rows[one]) == 0) & (numbers(rows[other]) == 0)]:
            yield Fault(element_id("impedance", i), f"its {one} and {other} are zero")
    for kind, of in (("trafo", ("",)), ("trafo3w", ("hv_", "mv_", "lv_"))):
        rows = in_service(net, kind)
        for name in of:
            real, whole = f"vkr_{name}percent", f"vk_{name}percent"
            part, of_all = numbers(rows[real]), numbers(rows[whole])
            for k in np.flatnonzero((part > of_all) & (of_all > 0)).tolist():
                detail = f"its {real} {part[k]:g} exceeds its {whole} {of_all[k]:g}"
                yield Fault(element_id(kind, rows.index[k]), detail)
    for name, power in short_circuit_mva(net):
        if 0.0 < power < LEAST_SHORT_CIRCUIT_MVA:
            yield Fault(
                name,
                f"its impedance is impossible: with one end short-circuited, "
                f"{1e6 * power:.3g} VA would pass at nominal voltage",
            )


def short_circuit_mva(net: Net) -> Iterator[tuple[str, float]]:
    """Yield each branch in service, and what it passes at nominal voltage into a short circuit."""
    volts = net.bus.vn_kv
    rows = in_service(net, "line")
    ohm = np.hypot(numbers(rows.r_ohm_per_km), numbers(rows.x_ohm_per_km))
    squared = _squared(volts, rows.from_bus) * numbers(rows.parallel)
    yield from _named("line", rows, squared, ohm * numbers(rows.length_km))
    rows = net.switch[net.switch.closed.eq(True) & (net.switch.et == "b") & (net.switch.z_ohm > 0)]
    yield from _named("switch", rows, _squared(volts, rows.bus), numbers(rows.z_ohm))
    rows = in_service(net, "impedance")
    for one, other in (("rft_pu", "xft_pu"), ("rtf_pu", "xtf_pu")):
        size = np.hypot(numbers(rows[one]), numbers(rows[other]))
        yield from _named("impedance", rows, numbers(rows.sn_mva), size)
    rows = in_service(net, "trafo")
    power = numbers(rows.sn_mva) * numbers(rows.parallel)
    yield from _named("trafo", rows, power, numbers(rows.vk_percent) / 100)
    rows = in_service(net, "trafo3w")
    for one, other in (("hv", "mv"), ("mv", "lv"), ("lv", "hv")):
        power = np.minimum(numbers(rows[f"sn_{one}_mva"]), numbers(rows[f"sn_{other}_mva"]))
        yield from _named("trafo3w", rows, power, numbers(rows[f"vk_{one}_percent"]) / 100)


def _squared(volts: pd.Series, buses: pd.Series) -> FloatArray:
    return np.asarray(numbers(volts.reindex(buses)) ** 2)


def _named(
    kind: str, rows: pd.DataFrame, power: FloatArray, impedance: FloatArray
) -> Iterator[tuple[str, float]]:
    with np.errstate(divide="ignore", invalid="ignore"):
        passing = power / impedance
    yield from zip((element_id(kind, i) for i in rows.index), passing.tolist(), strict=True)


def _losses_nowhere(net: Net) -> Iterator[Fault]:
    """Yield the three-winding transformers whose iron losses pandapower would leave out."""
    rows = in_service(net, "trafo3w")
    if "loss_side" not in rows:
        return
    lossy = (rows.pfe_kw != 0) | (rows.i0_percent != 0)
    for i in rows.index[lossy & ~rows.loss_side.isin(["hv", "mv", "lv"])]:
        side = rows.loss_side.at[i]
        yield Fault(element_id("trafo3w", i), f"its loss_side is {side}; known are hv, mv and lv")


def _two_levels(net: Net) -> Iterator[Fault]:
    """Yield the lines and closed switches between buses of different nominal voltages."""
    volts = net.bus.vn_kv
    rows = in_service(net, "line")
    switches = net.switch[net.switch.closed.eq(True) & (net.switch.et == "b")]
    for kind, ends in (
        ("line", rows[["from_bus", "to_bus"]]),
        ("switch", switches[["bus", "element"]]),
    ):
        one, other = (numbers(volts.reindex(ends[column])) for column in ends.columns)
        apart = np.abs(one - other) > 1e-6 * np.maximum(one, other)
        for k in np.flatnonzero(apart).tolist():
            first, second = ends.iloc[k].tolist()
            yield Fault(
                element_id(kind, ends.index[k]),
                f"it joins bus {first} of {one[k]:g} kV and bus {second} of {other[k]:g} kV; "
                f"only a transformer joins different voltages",
            )


def _unlike_buses(net: Net) -> Iterator[Fault]:
    """Yield the windings whose rated voltage cannot be meant for their bus."""
    for kind, column, at in (
        ("trafo", "vn_hv_kv", "hv_bus"),
        ("trafo", "vn_lv_kv", "lv_bus"),
        ("trafo3w", "vn_hv_kv", "hv_bus"),
        ("trafo3w", "vn_mv_kv", "mv_bus"),
        ("trafo3w", "vn_lv_kv", "lv_bus"),
    ):
        rows = in_service(net, kind)
        own, bus = numbers(rows[column]), numbers(net.bus.vn_kv.reindex(rows[at]))
        for k in np.flatnonzero((own > 2.0 * bus) | (bus > 2.0 * own)).tolist():
            yield Fault(
                element_id(kind, rows.index[k]),
                f"its {column} is {own[k]:g}, but its bus {rows[at].iloc[k]} has {bus[k]:g} kV",
            )


def _idle_losses(net: Net) -> Iterator[Fault]:
    """Yield the transformers that take more than they are rated for when idle."""
    for kind, rated in (("trafo", "sn_mva"), ("trafo3w", "sn_hv_mva")):
        rows = in_service(net, kind)
        losses, size = numbers(rows.pfe_kw), 1e3 * numbers(rows[rated])
        for k in np.flatnonzero((size > 0.0) & (np.abs(losses) > size)).tolist():
            detail = f"its pfe_kw is {losses[k]:g}, more than its {rated} of {size[k]:g} kVA"
            yield Fault(element_id(kind, rows.index[k]), detail)
        current = numbers(rows.i0_percent)
        for k in np.flatnonzero(np.abs(current) > 100.0).tolist():
            detail = f"its i0_percent is {current[k]:g}, more than its rated current"
            yield Fault(element_id(kind, rows.index[k]), detail)


def _leaking_lines(net: Net) -> Iterator[Fault]:
    """Yield the lines that would take more through their shunts than through a short circuit."""
    rows = in_service(net, "line")
    each_km = np.hypot(
        2e-9 * np.pi * numbers(pd.Series([net.f_hz]))[0] * numbers(rows.c_nf_per_km),
        1e-6 * numbers(rows.g_us_per_km),
    )
    ohm = np.hypot(numbers(rows.r_ohm_per_km), numbers(rows.x_ohm_per_km))
    parts = each_km * ohm * numbers(rows.length_km) ** 2
    for k in np.flatnonzero(np.isfinite(parts) & (parts > 1.0)).tolist():
        yield Fault(
            element_id("line", rows.index[k]),
            f"its c_nf_per_km {rows.c_nf_per_km.iloc[k]} and g_us_per_km "
            f"{rows.g_us_per_km.iloc[k]} take more than it can carry over its length",
        )


def switch_faults(net: Net) -> Iterator[Fault]:
    """Yield the faults of switches: of nothing, of an unknown kind, or with an unusable limit."""
    at = {
        "l": ("line", ("from_bus", "to_bus")),
        "t": ("trafo", ("hv_bus", "lv_bus")),
        "t3": ("trafo3w", ("hv_bus", "mv_bus", "lv_bus")),
        "b": ("bus", ()),
    }
    limits = (
        numbers(net.switch.in_ka) if "in_ka" in net.switch else np.full(len(net.switch), np.nan)
    )
    stated = net.switch.in_ka if "in_ka" in net.switch else limits
    columns = (net.switch[column] for column in ("bus", "element", "et", "closed"))
    ohms = numbers(net.switch.z_ohm)
    for i, bus, element, et, closed, ohm, limit, given in zip(
        net.switch.index, *columns, ohms, limits, stated, strict=True
    ):
        name = element_id("switch", i)
        if et not in at:
            yield Fault(name, f"its et is {et}; known are {', '.join(at)}")
            continue
        kind, ends = at[et]
        if element not in net[kind].index:
            yield Fault(name, f"its {kind} {element} does not exist")
            continue
        if ends and bus not in {net[kind][end].at[element] for end in ends}:
            yield Fault(name, f"its bus {bus} is not an end of {kind} {element}")
        if et == "b" and closed and not 0 <= ohm < np.inf:
            yield Fault(name, f"its z_ohm is {ohm}")
        if closed and pd.notna(given) and np.isnan(limit):
            yield Fault(name, f"its in_ka is {shown(given)}")
        if closed and not np.isnan(limit):
            yield from _limit_faults(name, et, float(limit))


def _limit_faults(name: str, et: str, limit_ka: float) -> Iterator[Fault]:
    if not limit_ka > 0:
        yield Fault(name, f"its in_ka is {limit_ka:g}")
    elif et == "b":
        yield Fault(
            name,
            f"its in_ka is {limit_ka:g}: the current through a switch between buses is not "
            f"modelled; state the limit at a line or transformer",
        )
