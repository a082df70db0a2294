"""Faults of the switches and taps that a scenario names."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from security_check.errors import Fault
from security_check.importers import Net
from security_check.model.element_ids import element_id, has_index, kind_of, table_row

TABLE_OF = {"l": "line", "t": "trafo", "t3": "trafo3w"}
"""The table of the element that each of pandapower's kinds of switches opens."""


def _is_known(net: Net, name: str, tables: tuple[str, ...]) -> bool:
    if kind_of(name) not in tables or not has_index(name):
        return False
    table, index = table_row(name)
    return index in net[table].index


def switch_faults(net: Net, names: tuple[str, ...]) -> Iterator[Fault]:
    """Yield the faults of the switchable branches named."""
    seen: dict[str, str] = {}
    for name in names:
        if not _is_known(net, name, ("switch", "line")):
            yield Fault(name, "actions.switchable names it, but there is no such switch or line")
            continue
        table, index = table_row(name)
        opened = name
        if table == "switch" and net.switch.et.at[index] != "b":
            et = net.switch.et.at[index]
            opened = element_id(TABLE_OF[et], int(net.switch.element.at[index]))
            if et == "t3":
                yield Fault(name, f"it is a switch of {opened}; windings cannot be switched here")
                continue
        if opened in seen:
            what = "it" if opened == name else f"{opened}, which it opens,"
            other = "twice" if opened == name else f"by {seen[opened]}, too"
            yield Fault(name, f"{what} is in actions.switchable {other}; name one of them")
        seen[opened] = name
        yield from _never_closed(net, name, opened)


def _never_closed(net: Net, name: str, opened: str) -> Iterator[Fault]:
    """Yield a fault if a branch stays open although its switch is closed."""
    kind, index = table_row(opened)
    if kind == "switch":
        return
    if kind != kind_of(name) and not net[kind].in_service.at[index]:
        yield Fault(name, f"{opened} is out of service, so this switch changes nothing")
    et = "l" if kind == "line" else "t"
    on = net.switch[(net.switch.et == et) & (net.switch.element == index) & ~net.switch.closed]
    for other in on.index:
        if element_id("switch", other) != name:
            yield Fault(
                name, f"{element_id('switch', other)} keeps {opened} open; name that switch instead"
            )


def tap_positions(
    net: Net, name: str, span: tuple[int, int] | None, faults: list[Fault]
) -> tuple[int, tuple[int, ...]]:
    """Return a transformer's index and the positions of its tap."""
    if not _is_known(net, name, ("trafo",)):
        faults.append(Fault(name, "actions.taps names it, but there is no such transformer"))
        return -1, ()
    index = table_row(name)[1]
    row = net.trafo.loc[index]
    numbers = [row.get(key) for key in ("tap_min", "tap_max", "tap_pos", "tap_step_percent")]
    if any(value is None or not np.isfinite(float(value)) for value in numbers) or not numbers[3]:
        faults.append(
            Fault(
                name,
                "it has no tap changer: tap_min, tap_max, tap_pos and tap_step_percent must be "
                f"numbers, found {', '.join(str(value) for value in numbers)}",
            )
        )
        return index, ()
    least, most, now = (int(value) for value in numbers[:3])
    low, high = (least, most) if span is None else span
    if not least <= low <= high <= most:
        faults.append(
            Fault(name, f"positions {low} to {high} are not within its taps, {least} to {most}")
        )
    elif not low <= now <= high:
        faults.append(Fault(name, f"its present position {now} is not within {low} to {high}"))
    return index, tuple(range(low, high + 1))
