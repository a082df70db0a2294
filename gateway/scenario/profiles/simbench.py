"""The profiles of a simbench network: a year of quarter-hours for each element.

``net.profiles`` has a table of factors of the nominal power for each kind of element: ``load``
with ``NAME_pload`` and ``NAME_qload``, ``renewables`` and ``storage`` with ``NAME`` for active
power only (reactive power then keeps the value of the network).  Each row of an element's table
names its profile.  Labels such as ``02.05.2016 00:15`` are German local time, in which an hour is
missing in March and repeated in October.  Rows are therefore counted in steps of a quarter-hour
from 2015-12-31T23:00:00Z on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from exchange.vocabulary.formatting import format_time
from gateway.scenario.intervals import Span
from gateway.scenario.profiles.power_profile import PowerProfile, ProfileBuilder
from security_check.arrays import FloatArray, IndexArray
from security_check.errors import Fault
from security_check.importers import Net
from security_check.model.element_ids import table_row
from security_check.model.network_elements import PassiveElements

_TABLES = {"load": "load", "sgen": "renewables", "storage": "storage"}  # of each kind of element
_LABEL = "%d.%m.%Y %H:%M"
_ZONE = "Europe/Berlin"


def simbench_profile(
    net: Net | None, passive: PassiveElements, span: Span, key: str, faults: list[Fault]
) -> PowerProfile | None:
    """Return the powers of the passive elements, or ``None`` after adding every fault.

    Parameters
    ----------
    key
        The entry of the scenario that asks for simbench profiles.
    """
    profiles = getattr(net, "profiles", None)
    if not isinstance(profiles, dict) or not profiles:
        detail = "this network has no profiles; a network with a source simbench:CODE has them"
        faults.append(Fault(key, detail))
        return None
    found: list[Fault] = []
    columns: dict[tuple[str, str], int] = {}
    values: list[FloatArray] = []
    rows: dict[str, IndexArray | None] = {}

    def column(table: str, name: str) -> int:
        if table not in rows:
            rows[table] = _rows_of(profiles[table], table, span, found)
        if (table, name) not in columns:
            chosen = rows[table]
            columns[table, name] = len(values)
            series = profiles[table][name].to_numpy(dtype=float)
            values.append(np.zeros(0) if chosen is None else series[chosen])
        return columns[table, name]

    followed: list[tuple[int, int | None, int | None]] = []
    for j, element in enumerate(passive.elements):
        kind, index = table_row(element)
        assert net is not None
        name = net[kind].at[index, "profile"] if "profile" in net[kind] else None
        active, reactive = (f"{name}_pload", f"{name}_qload") if kind == "load" else (name, None)
        table = _TABLES[kind]
        if not isinstance(name, str) or active not in profiles.get(table, ()):
            found.append(
                Fault(
                    element, f"its profile {name!r} is not among the network's profiles of {table}"
                )
            )
            continue
        both = [None if part is None else column(table, part) for part in (active, reactive)]
        followed.append((j, both[0], both[1]))
    found += [
        Fault(f"{table}.{name}", "the network's profile has numbers that are not finite")
        for (table, name), k in columns.items()
        if not np.isfinite(values[k]).all()
    ]
    faults += found
    if found:
        return None
    return _profile_of(np.column_stack(values), followed, passive)


def _profile_of(
    values: FloatArray,
    followed: list[tuple[int, int | None, int | None]],
    passive: PassiveElements,
) -> PowerProfile:
    """Return the profile in which each element follows its columns of active and reactive power."""
    builder = ProfileBuilder(values, passive)
    for j, active_column, reactive_column in followed:
        nominal = complex(passive.power_pu[j])
        if active_column is not None:
            builder.active(j, [active_column], nominal.real)
        if reactive_column is not None:
            builder.reactive(j, [reactive_column], nominal.imag)
    return builder.profile()


def _rows_of(frame: Any, table: str, span: Span, faults: list[Fault]) -> IndexArray | None:
    """Return the row of each interval, or ``None`` after adding the fault of the rows."""
    where = f"simbench profiles of {table}"
    labels = pd.DatetimeIndex(pd.to_datetime(frame["time"], format=_LABEL))
    step = labels[1] - labels[0]
    times = pd.date_range(labels[0].tz_localize(_ZONE), periods=len(labels), freq=step)
    if not (times.tz_localize(None) == labels).all():
        faults.append(Fault(where, f"the time labels are not consecutive in {_ZONE} time"))
        return None
    if step != span.length:
        detail = f"the rows are {step / pd.Timedelta(minutes=1):g} minutes apart"
        faults.append(Fault(where, f"{detail}, intervals.minutes is {span.minutes:g}"))
        return None
    rows = np.asarray(times.get_indexer(pd.DatetimeIndex(span.starts)), dtype=np.int64)
    missing = np.flatnonzero(rows < 0)
    if len(missing):
        first, last = (format_time(times[k].to_pydatetime()) for k in (0, -1))
        absent = format_time(span.starts[missing[0]])
        detail = f"there is no row for {absent}; the rows are from {first} to {last}"
        more = f" (and none for {len(missing) - 1:,} more intervals)" if len(missing) > 1 else ""
        faults.append(Fault(where, detail + more))
        return None
    return rows
