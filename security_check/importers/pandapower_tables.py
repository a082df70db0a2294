"""The tables of a pandapower net: which are modelled, which have no effect, which are refused.

A table that is neither modelled nor known to have no effect is refused by the name of each of its
elements in service.  So an element that a later version of pandapower adds is refused as well.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from security_check.errors import Fault
from security_check.importers import Net
from security_check.model.element_ids import element_id

POWER_ELEMENTS = ("load", "sgen", "storage", "motor", "asymmetric_load", "asymmetric_sgen")
"""Tables of elements that consume or generate at given power."""

BUS_COLUMNS = {
    "line": ("from_bus", "to_bus"),
    "impedance": ("from_bus", "to_bus"),
    "trafo": ("hv_bus", "lv_bus"),
    "trafo3w": ("hv_bus", "mv_bus", "lv_bus"),
    "shunt": ("bus",),
    "switch": ("bus",),
    "ext_grid": ("bus",),
    **dict.fromkeys(POWER_ELEMENTS, ("bus",)),
}
"""The tables that are modelled, but for ``bus`` and ``gen``, and their references to buses."""

_POWER = ("p_mw", "q_mvar", "scaling", "in_service")
_ASYMMETRIC = (
    *(f"{part}_{phase}_{unit}" for part, unit in (("p", "mw"), ("q", "mvar")) for phase in "abc"),
    "scaling", "in_service",
)  # fmt: skip
_COLUMNS: dict[str, tuple[str, ...]] = {
    "bus": ("vn_kv", "in_service"),
    "line": (
        "length_km", "r_ohm_per_km", "x_ohm_per_km", "c_nf_per_km", "g_us_per_km", "max_i_ka",
        "df", "parallel", "in_service",
    ),
    "impedance": (
        "rft_pu", "xft_pu", "rtf_pu", "xtf_pu", "gf_pu", "bf_pu", "gt_pu", "bt_pu", "sn_mva",
        "in_service",
    ),
    "trafo": (
        "sn_mva", "vn_hv_kv", "vn_lv_kv", "vk_percent", "vkr_percent", "pfe_kw", "i0_percent",
        "shift_degree", "parallel", "df", "in_service",
    ),
    "trafo3w": (
        *(f"{name}_{side}_{unit}" for name, unit in
          (("sn", "mva"), ("vn", "kv"), ("vk", "percent"), ("vkr", "percent"))
          for side in ("hv", "mv", "lv")),
        "pfe_kw", "i0_percent", "shift_mv_degree", "shift_lv_degree", "in_service",
    ),
    "shunt": ("p_mw", "q_mvar", "vn_kv", "step", "in_service"),
    "switch": ("element", "et", "closed", "z_ohm"),
    "ext_grid": ("vm_pu", "va_degree", "slack_weight", "in_service"),
    "gen": ("bus", "p_mw", "vm_pu", "scaling", "in_service"),
    **dict.fromkeys(("load", "sgen", "storage"), _POWER),
    "motor": (
        "pn_mech_mw", "cos_phi", "efficiency_percent", "loading_percent", "scaling", "in_service",
    ),
    **dict.fromkeys(("asymmetric_load", "asymmetric_sgen"), _ASYMMETRIC),
}  # fmt: skip
"""The columns without which an element cannot be modelled, beside its buses."""

MODELLED = frozenset({"bus", "gen", *BUS_COLUMNS})
"""Tables that are modelled; see :mod:`~security_check.importers.pandapower_quantities`."""

WITHOUT_EFFECT = frozenset(
    {"poly_cost", "pwl_cost", "measurement", "group", "bus_geodata", "line_geodata", "substation"}
)
"""Tables without an effect on a power flow, although they name elements."""

_INDICES = 2**53
"""Larger indices are not the same number in every format."""

_CONTROLLERS = "controller"  # its faults depend on which taps are stated: ``pandapower_taps``

# Options of a power flow that change neither the model nor what a result means.
_OPTIONS_WITHOUT_EFFECT = frozenset(
    {
        "algorithm", "calculate_voltage_angles", "init", "init_va_degree", "init_vm_pu",
        "lightsim2grid", "max_iteration", "numba", "only_v_results", "permc_spec",
        "tolerance_mva", "use_umfpack", "v_debug",
    }
)  # fmt: skip
# Options that have an effect, with the values that are modelled.
_MODELLED_OPTIONS = {
    "check_connectivity": True,
    "consider_line_temperature": False,
    "distributed_slack": False,
    "enforce_p_lims": False,
    "enforce_q_lims": False,
    "mode": "pf",
    "neglect_open_switch_branches": False,
    "recycle": None,
    "run_control": False,
    "switch_rx_ratio": 2,
    "tdpf": False,
    "trafo3w_losses": "hv",
    "trafo_loading": "current",
    "trafo_model": "t",
    "voltage_depend_loads": True,
}


def in_service(net: Net, table: str) -> pd.DataFrame:
    """Return the rows in service of a table, all of them where it has no such column."""
    rows: pd.DataFrame = net[table]
    return rows[rows.in_service.astype(bool)] if "in_service" in rows else rows


def unmodelled(net: Net) -> list[Fault]:
    """Return a fault for all that has, or may have, an effect and is not modelled."""
    return [
        *(
            Fault(element_id(table, i), f"elements of type {table} are not supported")
            for table in _unknown_tables(net)
            for i in in_service(net, table).index
        ),
        *_settings(net),
    ]


def _unknown_tables(net: Net) -> Iterator[str]:
    """Yield the tables of elements that are neither modelled nor known to have no effect."""
    known = MODELLED | WITHOUT_EFFECT | {_CONTROLLERS}
    for name, rows in net.items():
        if not isinstance(rows, pd.DataFrame) or name in known or name.startswith(("_", "res_")):
            continue
        if len(rows) and any(_is_of_elements(str(column)) for column in rows.columns):
            yield name


def _is_of_elements(column: str) -> bool:
    """Return whether a column belongs to a table of elements, not to one of plain data."""
    return column in ("in_service", "bus", "bus_dc") or column.endswith(("_bus", "_bus_dc"))


def form_faults(net: Net) -> list[Fault]:
    """Return what is wrong with the tables themselves; with such faults, no more can be said.

    A table or a column is missing, an index is not a number or not unique, or an element is neither
    in service nor out of service.
    """
    wrong = [fault for table in sorted(MODELLED) for fault in _table_faults(net, table)]
    return wrong or [*_wrong_states(net), *_wrong_references(net)]


def _table_faults(net: Net, table: str) -> Iterator[Fault]:
    rows = net.get(table)
    if not isinstance(rows, pd.DataFrame):
        yield Fault(f"net.{table}", "it is missing, or not a table")
        return
    for column in (*BUS_COLUMNS.get(table, ()), *_COLUMNS[table]):
        count = int((rows.columns == column).sum())
        if count != 1:
            detail = f"it has no {column}" if count == 0 else f"it has {count} columns {column}"
            yield from (Fault(element_id(table, i), detail) for i in rows.index)
    for i in rows.index[rows.index.duplicated()].unique():
        yield Fault(element_id(table, i), f"{int((rows.index == i).sum())} elements have its index")
    for i in rows.index:
        if isinstance(i, bool) or not isinstance(i, (int, np.integer)) or not 0 <= i < _INDICES:
            detail = f"its index must be a whole number of 0 to {_INDICES - 1}, and not {i!r}"
            yield Fault(element_id(table, i), detail)


def _wrong_references(net: Net) -> Iterator[Fault]:
    """Yield the switches whose element cannot be an index."""
    for i, element in net.switch.element.items():
        whole = isinstance(element, (int, float, np.number)) and not isinstance(element, bool)
        if not whole or not float(element).is_integer():
            yield Fault(element_id("switch", i), f"its element is {element!r}, not an index")


def _wrong_states(net: Net) -> Iterator[Fault]:
    """Yield the elements that are neither in service nor out of service."""
    for table in sorted(MODELLED):
        for column in {"in_service", "closed"} & set(net[table].columns):
            values = net[table][column]
            if values.dtype == bool:
                continue
            for i in values.index[~values.isin([True, False])]:
                yield Fault(
                    element_id(table, i), f"its {column} is {values.at[i]}, not true or false"
                )


def _settings(net: Net) -> Iterator[Fault]:
    """Yield the faults of what holds for the whole net."""
    for key, unit in (("f_hz", "Hz"), ("sn_mva", "MVA")):
        value = net.get(key)
        if not isinstance(value, (int, float, np.number)) or not 0.0 < float(value) < np.inf:
            yield Fault(f"net.{key}", f"it is {value} {unit}; a number above 0 is needed")
    for key, value in (net.get("user_pf_options") or {}).items():
        if key in _OPTIONS_WITHOUT_EFFECT or (
            key in _MODELLED_OPTIONS and value == _MODELLED_OPTIONS[key]
        ):
            continue
        yield Fault(
            "net.user_pf_options",
            f"it sets {key} = {value!r} for the power flow, which is not supported",
        )
