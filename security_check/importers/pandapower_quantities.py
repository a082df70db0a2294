"""The columns of a pandapower net that have an effect, and the faults of their values.

Each column is tested in the rows in service, so that a value that is not a number is refused by
table, element and column before pandapower builds a model of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pandas as pd

from security_check.arrays import BoolArray, FloatArray
from security_check.errors import Fault
from security_check.importers import Net
from security_check.importers.pandapower_tables import in_service
from security_check.model.element_ids import element_id
from security_check.model.network_elements import UNRATED

Test = Callable[[FloatArray], BoolArray]

_RATINGS = {
    "line": (("max_i_ka",), "kA"),
    "trafo": (("sn_mva",), "MVA"),
    "trafo3w": (("sn_hv_mva", "sn_mv_mva", "sn_lv_mva"), "MVA"),
}

LEAST_SHORT_CIRCUIT_MVA = 1e-3
"""A branch that would pass less than 1 kVA with one end short-circuited carries no customer."""


def is_positive(values: FloatArray) -> BoolArray:
    """Return which values are finite and above 0."""
    return np.isfinite(values) & (values > 0)


def is_not_negative(values: FloatArray) -> BoolArray:
    """Return which values are finite and not below 0."""
    return np.isfinite(values) & (values >= 0)


def _is_part(values: FloatArray) -> BoolArray:
    return (values > 0) & (values < 1)


def _is_finite(values: FloatArray) -> BoolArray:
    return np.isfinite(values)


# Quantities of the model: table, columns, and the test of their values.
QUANTITIES: tuple[tuple[str, tuple[str, ...], Test], ...] = (
    ("line", ("length_km", "parallel", "df"), is_positive),
    ("line", ("r_ohm_per_km", "x_ohm_per_km", "c_nf_per_km", "g_us_per_km"), is_not_negative),
    ("trafo", ("vn_hv_kv", "vn_lv_kv", "vk_percent", "parallel", "df"), is_positive),
    ("trafo", ("vkr_percent",), is_not_negative),
    ("trafo", ("pfe_kw", "i0_percent", "shift_degree"), _is_finite),
    ("trafo", ("leakage_resistance_ratio_hv", "leakage_reactance_ratio_hv"), _is_part),
    ("trafo3w", ("vn_hv_kv", "vn_mv_kv", "vn_lv_kv"), is_positive),
    ("trafo3w", ("vk_hv_percent", "vk_mv_percent", "vk_lv_percent"), is_positive),
    ("trafo3w", ("vkr_hv_percent", "vkr_mv_percent", "vkr_lv_percent"), is_not_negative),
    ("trafo3w", ("pfe_kw", "i0_percent", "shift_mv_degree", "shift_lv_degree"), _is_finite),
    ("impedance", ("rft_pu", "xft_pu", "rtf_pu", "xtf_pu"), _is_finite),
    ("impedance", ("gf_pu", "bf_pu", "gt_pu", "bt_pu"), _is_finite),
    ("impedance", ("sn_mva",), is_positive),
    ("shunt", ("p_mw", "q_mvar", "step"), _is_finite),
    ("shunt", ("vn_kv",), is_positive),
    ("bus", ("vn_kv",), is_positive),
    ("ext_grid", ("vm_pu",), is_positive),
    ("ext_grid", ("va_degree",), _is_finite),
)
"""Columns with an effect in every model; those that only phases need: ``pandapower_faults``."""

POWERS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("load", "sgen", "storage"), ("p_mw", "q_mvar", "scaling")),
    "motor": ("pn_mech_mw", "cos_phi", "efficiency_percent", "loading_percent", "scaling"),
    **dict.fromkeys(
        ("asymmetric_load", "asymmetric_sgen"),
        (*(f"{part}_{phase}_{unit}" for part, unit in (("p", "mw"), ("q", "mvar"))
           for phase in "abc"), "scaling"),
    ),
}  # fmt: skip
"""Columns from which pandapower computes the power of an element."""

FLAGS = (
    ("shunt", "step_dependency_table", "its steps follow a table, which is not supported"),
    ("trafo", "tap2_dependency_table", "its second tap follows a table, which is not supported"),
)
"""Columns that make an element depend on something that is not modelled."""


def wrong_quantities(net: Net, kind: str, columns: Iterable[str], is_right: Test) -> list[Fault]:
    """Return the elements in service with an invalid value in a column."""
    rows = in_service(net, kind)
    return [
        Fault(element_id(kind, i), f"its {column} is {value}")
        for column in columns
        if column in rows
        for i, value in rows[column][~is_right(numbers(rows[column]))].items()
    ]


def numbers(values: pd.Series) -> FloatArray:
    """Return a column as numbers; what is none becomes ``nan``."""
    found: FloatArray = pd.to_numeric(values, errors="coerce").to_numpy(
        dtype=float, na_value=np.nan
    )
    return found


def wrong_powers(net: Net, table: str) -> list[Fault]:
    """Return the elements of a table whose power is not a number."""
    return wrong_quantities(net, table, POWERS[table], _is_finite)


def quantity_faults(net: Net) -> list[Fault]:
    """Return the faults of ratings, branches, shunts and buses."""
    faults = _rating_faults(net)
    for kind, columns, is_right in QUANTITIES:
        faults += wrong_quantities(net, kind, columns, is_right)
    for kind, column, detail in FLAGS:
        rows = in_service(net, kind)
        if column in rows:
            faults += [
                Fault(element_id(kind, i), detail) for i in rows.index[rows[column].eq(True)]
            ]
    faults += [*_impedance_faults(net), *_losses_nowhere(net), *_two_levels(net)]
    return faults


def _rating_faults(net: Net) -> list[Fault]:
    """Return the lines and transformers without a usable rating, in the source's own units."""
    faults = []
    for kind, (columns, unit) in _RATINGS.items():
        rows = in_service(net, kind)
        for column in columns:
            values = pd.Series(numbers(rows[column]), rows.index)
            faults += [
                Fault(
                    element_id(kind, i),
                    f"its rating {column} is {value:g} {unit}: "
                    f"a real rating above 0 and below {UNRATED:g} is needed",
                )
                for i, value in values[~((values > 0) & (values < UNRATED))].items()
            ]
        if "max_loading_percent" in rows:
            given = rows.max_loading_percent[rows.max_loading_percent.notna()]
            size = pd.Series(numbers(given), given.index)
            faults += [
                Fault(
                    element_id(kind, i),
                    f"its max_loading_percent is {value:g}: it must be above 0, and at most 100, "
                    f"because no envelope overloads what it runs through",
                )
                for i, value in size[~((size > 0) & (size <= 100))].items()
            ]
    return faults


def _impedance_faults(net: Net) -> Iterator[Fault]:
    """Yield the branches that have no impedance, or one through which nothing could pass."""
    line = in_service(net, "line")
    nothing = (line.r_ohm_per_km == 0) & (line.x_ohm_per_km == 0)
    for i in line.index[nothing]:
        yield Fault(element_id("line", i), "its impedance is zero")
    rows = in_service(net, "impedance")
    for one, other in (("rft_pu", "xft_pu"), ("rtf_pu", "xtf_pu")):
        for i in rows.index[(rows[one] == 0) & (rows[other] == 0)]:
            yield Fault(element_id("impedance", i), f"its {one} and {other} are zero")
    for kind, of in (("trafo", ("",)), ("trafo3w", ("hv_", "mv_", "lv_"))):
        rows = in_service(net, kind)
        for name in of:
            real, whole = f"vkr_{name}percent", f"vk_{name}percent"
            for i in rows.index[(rows[real] > rows[whole]) & (rows[whole] > 0)]:
                detail = (
                    f"its {real} {rows[real].at[i]:g} exceeds its {whole} {rows[whole].at[i]:g}"
                )
                yield Fault(element_id(kind, i), detail)
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
    columns = (net.switch[column] for column in ("bus", "element", "et", "closed", "z_ohm"))
    for i, bus, element, et, closed, ohm, limit in zip(
        net.switch.index, *columns, limits, strict=True
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
        if et == "b" and closed and not ohm >= 0:
            yield Fault(name, f"its z_ohm is {ohm}")
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
