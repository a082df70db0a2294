"""The columns of a pandapower net that have an effect, and the faults of their values.

Each column is tested in the rows in service, so that a value that is not a number is refused by
table, element and column before pandapower builds a model of it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd

from security_check.arrays import BoolArray, FloatArray
from security_check.errors import Fault
from security_check.importers import Net
from security_check.importers.pandapower_tables import BUS_COLUMNS, MODELLED, in_service
from security_check.model.element_ids import element_id
from security_check.model.network_elements import UNRATED

Test = Callable[[FloatArray], BoolArray]

_RATINGS = {
    "line": (("max_i_ka",), "kA"),
    "trafo": (("sn_mva",), "MVA"),
    "trafo3w": (("sn_hv_mva", "sn_mv_mva", "sn_lv_mva"), "MVA"),
}

LARGEST = 1e12
"""No quantity of a grid is as large in its unit; products of larger ones are no numbers."""

_MOST_POWER = 1e6
"""No element consumes or generates as much, MW or Mvar; also the most of a scaling."""


def is_positive(values: FloatArray) -> BoolArray:
    """Return which values are finite and above 0."""
    return (values < LARGEST) & (values > 0)


def is_not_negative(values: FloatArray) -> BoolArray:
    """Return which values are finite and not below 0."""
    return (values < LARGEST) & (values >= 0)


def _is_shunt(values: FloatArray) -> BoolArray:
    """Return which shunts take at most 100 times the rated power of their impedance."""
    return np.abs(values) <= 100.0


def _is_set_point(values: FloatArray) -> BoolArray:
    return (values > 0) & (values < 10)


def _is_part(values: FloatArray) -> BoolArray:
    return (values > 0) & (values < 1)


def _is_finite(values: FloatArray) -> BoolArray:
    return np.abs(values) < LARGEST


def _is_power(values: FloatArray) -> BoolArray:
    return np.abs(values) < _MOST_POWER


def _is_number(values: FloatArray) -> BoolArray:
    return ~np.isnan(values)


def is_angle(values: FloatArray) -> BoolArray:
    """Return which values are angles: beyond two turns, a number of degrees is an error."""
    return np.isfinite(values) & (np.abs(values) <= 720.0)


# Quantities of the model: table, columns, and the test of their values.
QUANTITIES: tuple[tuple[str, tuple[str, ...], Test], ...] = (
    ("line", ("length_km", "parallel", "df"), is_positive),
    ("line", ("r_ohm_per_km", "x_ohm_per_km", "c_nf_per_km", "g_us_per_km"), is_not_negative),
    ("trafo", ("vn_hv_kv", "vn_lv_kv", "vk_percent", "parallel", "df"), is_positive),
    ("trafo", ("vkr_percent",), is_not_negative),
    ("trafo", ("pfe_kw", "i0_percent"), _is_finite),
    ("trafo", ("shift_degree",), is_angle),
    ("trafo", ("leakage_resistance_ratio_hv", "leakage_reactance_ratio_hv"), _is_part),
    ("trafo3w", ("vn_hv_kv", "vn_mv_kv", "vn_lv_kv"), is_positive),
    ("trafo3w", ("vk_hv_percent", "vk_mv_percent", "vk_lv_percent"), is_positive),
    ("trafo3w", ("vkr_hv_percent", "vkr_mv_percent", "vkr_lv_percent"), is_not_negative),
    ("trafo3w", ("pfe_kw", "i0_percent"), _is_finite),
    ("trafo3w", ("shift_mv_degree", "shift_lv_degree"), is_angle),
    ("impedance", ("rft_pu", "xft_pu", "rtf_pu", "xtf_pu"), _is_finite),
    ("impedance", ("gf_pu", "bf_pu", "gt_pu", "bt_pu"), _is_shunt),
    ("impedance", ("sn_mva",), is_positive),
    ("shunt", ("p_mw", "q_mvar", "step"), _is_power),
    ("shunt", ("vn_kv",), is_positive),
    ("bus", ("vn_kv",), is_positive),
    ("ext_grid", ("vm_pu",), _is_set_point),
    ("ext_grid", ("va_degree",), is_angle),
)
"""Columns with an effect in every model; those that only phases need: ``pandapower_faults``."""

_OPTIONAL: tuple[tuple[str, tuple[str, ...], Test], ...] = (
    ("ext_grid", ("slack_weight",), _is_finite),
    *(
        (kind, tuple(f"tap{suffix}_{column}" for suffix in ("", "2") for column in names), is_right)
        for kind in ("trafo", "trafo3w")
        for names, is_right in (
            (("pos", "neutral", "step_percent"), _is_finite),
            (("step_degree",), is_angle),
            (("min", "max"), _is_number),
        )
    ),
)
"""Columns that may say nothing; what they say must be a number."""

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
        Fault(element_id(kind, i), f"its {column} is {shown(value)}")
        for column in columns
        if column in rows
        for i, value in rows[column][~is_right(numbers(rows[column]))].items()
    ]


def shown(value: object) -> str:
    """Return a value for messages; a number in words would not look wrong."""
    if not isinstance(value, (str, bool, np.bool_)):
        return f"{value}"
    return f"{value}" if not _looks_right(value) else f"{value!r}, which is not a number"


def _looks_right(value: object) -> bool:
    return not np.isnan(pd.to_numeric(pd.Series([value]), errors="coerce").astype(float)[0])


def numbers(values: pd.Series) -> FloatArray:
    """Return a column as numbers; what is none, such as text or true, becomes ``nan``."""
    if values.dtype == object:
        values = values.map(lambda each: None if isinstance(each, (str, bool, np.bool_)) else each)
    found: FloatArray = pd.to_numeric(values, errors="coerce").to_numpy(
        dtype=float, na_value=np.nan
    )
    return found


def typed(net: Net) -> Net:
    """Return a copy of a net in which columns of objects are columns of numbers or states.

    pandapower computes with neither, for example after a value was set to ``None`` and back.  What
    is no number stays, and is a fault.
    """
    copied = copy.copy(net)
    for table in MODELLED:
        rows = net[table]
        changed = {}
        for column in rows.select_dtypes(object).columns:
            values, found = rows[column], numbers(rows[column])
            if column in ("in_service", "closed"):
                changed[column] = values.astype(bool)
            elif column in ("element", *BUS_COLUMNS.get(table, ())) and _is_whole(found):
                changed[column] = pd.Series(found.astype(np.int64), rows.index)
            elif not values.isna().all() and (values.isna() | ~np.isnan(found)).all():
                changed[column] = pd.Series(found, rows.index)
        if changed:
            copied[table] = rows.assign(**changed)
    return copied


def _is_whole(values: FloatArray) -> bool:
    return bool((values == np.floor(values)).all() and (np.abs(values) < LARGEST).all())


def no_numbers(net: Net, kind: str, columns: Iterable[str], is_right: Test) -> list[Fault]:
    """Return the elements in service with an invalid value where there need not be one."""
    rows = in_service(net, kind)
    return [
        Fault(element_id(kind, i), f"its {column} is {shown(value)}")
        for column in columns
        if column in rows
        for i, value in rows[column][
            rows[column].notna() & ~is_right(numbers(rows[column]))
        ].items()
    ]


def wrong_powers(net: Net, table: str) -> list[Fault]:
    """Return the elements of a table whose power is not a number."""
    return wrong_quantities(net, table, POWERS[table], _is_power)


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
    for kind, columns, is_right in _OPTIONAL:
        faults += no_numbers(net, kind, columns, is_right)
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
