"""The tap positions of a pandapower net, as the net gives them or as stated.

pandapower 3 ignores a tap position without a ``tap_changer_type``; nets of pandapower 2 have none,
and neither have SimBench's.  Here such a tap changer is completed by the rules of pandapower 2: it
changes the ratio by ``tap_step_percent``, turned by ``tap_step_degree``, or, with
``tap_phase_shifter``, the angle alone.  What these rules leave open is a fault.

Controllers move taps while pandapower's own power flow runs.  Envelopes must hold for stated
positions, so a net with controllers needs ``taps``.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from pandapower.control import TrafoController, VmSetTapControl

from security_check.errors import Fault
from security_check.importers import Net
from security_check.importers.pandapower_quantities import numbers
from security_check.importers.pandapower_tables import in_service
from security_check.model.element_ids import element_id

Taps = Literal["as-given", "neutral"] | Mapping[str, float]
"""Which tap positions are assumed: those of the net, the neutral ones, or some by name."""

_ENDS = {"trafo": ("hv", "lv"), "trafo3w": ("hv", "mv", "lv")}
_COMPLEX = ("Ratio", "Symmetrical")
_KNOWN = (*_COMPLEX, "Ideal", "Tabular")
_NUMBERS = ("pos", "neutral", "min", "max", "step_percent", "step_degree")


@dataclass(frozen=True, slots=True)
class _Changer:
    """One tap changer of a transformer in service; ``nan`` where the net says nothing.

    Parameters
    ----------
    table, index, suffix
        Where it is in the net; ``suffix`` is ``"2"`` for a second tap changer.
    side, kind
        ``tap_side``, and ``tap_changer_type`` or ``None``.
    shifts, by_table
        Whether it is marked as a ``tap_phase_shifter``, and as dependent on a table.
    pos, neutral, min, max, step_percent, step_degree
        As in the net.
    """

    table: str
    index: int
    suffix: str
    side: str
    kind: str | None
    shifts: bool
    by_table: bool
    pos: float
    neutral: float
    min: float
    max: float
    step_percent: float
    step_degree: float

    @property
    def element(self) -> str:
        return element_id(self.table, self.index)

    @property
    def exists(self) -> bool:
        """Whether its position can have an effect."""
        steps = _is_step(self.step_percent) or _is_step(self.step_degree)
        return self.by_table or steps or self.kind is not None

    def column(self, name: str) -> str:
        return f"tap{self.suffix}_{name}"

    def described(self, name: str) -> str:
        """Return a column and its value for messages."""
        return f"its {self.column(name)} is {getattr(self, name)}"


def _is_step(size: float) -> bool:
    return not math.isnan(size) and size != 0.0


def tap_faults(net: Net, taps: Taps | None) -> list[Fault]:
    """Return the faults of tap changers, of stated positions, and of controllers.

    Parameters
    ----------
    net
        The net.
    taps
        As in :func:`with_taps`.
    """
    faults = _stated_faults(net, taps)
    if not faults:
        assumed = {changer: _position(changer, taps) for changer in _changers(net)}
        for changer, at in assumed.items():
            faults += _table_faults(net, changer, assumed) if changer.by_table else ()
            faults += _changer_faults(changer, at)
    return faults + list(_controller_faults(net, taps))


def tap_positions(net: Net, names: Sequence[str]) -> dict[str, float]:
    """Return the net's own positions of the first tap changers of some transformers in service.

    The neutral position where the net states none; without those that do not exist.
    """
    own = {each.element: each for each in _changers(net) if not each.suffix}
    return {
        name: own[name].neutral if math.isnan(own[name].pos) else own[name].pos
        for name in names
        if name in own
    }


def with_taps(net: Net, taps: Taps | None = None) -> Net:
    """Return a copy of a net without faults in which every tap position has its effect.

    Parameters
    ----------
    net
        The net.  Not modified.
    taps
        ``None``: the net's own positions; there are no controllers.  ``"as-given"``: the net's own
        positions, and controllers are out of service.  ``"neutral"``: all in neutral position.
        Else positions by name, ``{"trafo:0": -2}``; the others stay as given.
    """
    stated = copy.copy(net)
    stated["controller"] = net.controller[~net.controller.in_service.astype(bool)]
    for table in _ENDS:
        stated[table] = rows = net[table].copy()
        for suffix in ("", "2"):
            if f"tap{suffix}_pos" in rows:
                for column in {f"tap{suffix}_{name}" for name in _NUMBERS} & set(rows.columns):
                    rows[column] = numbers(rows[column])
                kinds = rows.get(f"tap{suffix}_changer_type", pd.Series(None, rows.index))
                rows[f"tap{suffix}_changer_type"] = kinds.astype(object)
    for changer in _changers(net):
        rows, at = stated[changer.table], _position(changer, taps)
        rows.loc[changer.index, changer.column("pos")] = at
        if at == changer.neutral or not changer.exists or changer.by_table:
            continue
        rows.loc[changer.index, changer.column("changer_type")] = _kind(changer)
        if changer.column("step_degree") in rows and math.isnan(changer.step_degree):
            rows.loc[changer.index, changer.column("step_degree")] = 0.0
    return stated


def marked_shifters(net: Net) -> list[tuple[str, int, str]]:
    """Return where an unconverted net of pandapower 2 marks phase shifters: table, index, suffix.

    pandapower's conversion to its present format forgets the mark, and takes one with a step in
    per cent for a changer of the ratio.
    """
    return [
        (table, int(index), suffix)
        for table in _ENDS
        if isinstance(net.get(table), pd.DataFrame)
        for suffix in ("", "2")
        if f"tap{suffix}_phase_shifter" in net[table]
        for index, mark in net[table][f"tap{suffix}_phase_shifter"].items()
        if _is_true(mark)
    ]


def mark_shifters(net: Net, marked: list[tuple[str, int, str]]) -> None:
    """Give a converted net back what :func:`marked_shifters` found.

    pandapower 2 has no model of a three-winding phase shifter: its mark stays, and is a fault.
    """
    for table, index, suffix in marked:
        if table == "trafo":
            net[table].loc[index, f"tap{suffix}_changer_type"] = "Ideal"
        else:
            net[table].loc[index, f"tap{suffix}_phase_shifter"] = True


def _kind(changer: _Changer) -> str | None:
    """Return the type of a tap changer, by the rules of pandapower 2 where the net has none."""
    if changer.kind is not None:
        return changer.kind
    if changer.shifts:
        return "Ideal"
    return "Ratio" if _is_step(changer.step_percent) else None


def _changers(net: Net) -> Iterator[_Changer]:
    """Yield the tap changers of all transformers in service that have a column for a position."""
    for table in _ENDS:
        rows = in_service(net, table)
        for suffix in ("", "2"):
            if f"tap{suffix}_pos" not in rows:
                continue
            values = {
                name: numbers(rows[f"tap{suffix}_{name}"])
                if f"tap{suffix}_{name}" in rows
                else np.full(len(rows), np.nan)
                for name in _NUMBERS
            }
            texts = {
                name: rows[name].tolist() if name in rows else [None] * len(rows)
                for name in (
                    f"tap{suffix}_side", f"tap{suffix}_changer_type", f"tap{suffix}_phase_shifter",
                    "tap_dependency_table",
                )
            }  # fmt: skip
            for k, index in enumerate(rows.index):
                side, kind, shifts, by_table = (each[k] for each in texts.values())
                yield _Changer(
                    table,
                    int(index),
                    suffix,
                    str(side),
                    _stated(kind),
                    _is_true(shifts),
                    _is_true(by_table) and not suffix,
                    *(float(values[name][k]) for name in _NUMBERS),
                )


def _stated(value: Any) -> str | None:
    """Return a text of the net; ``None`` for all the ways in which nets say nothing."""
    text = "" if pd.isna(value) else str(value).strip()
    return None if text.lower() in ("", "none", "nan") else text


def _is_true(value: Any) -> bool:
    return not pd.isna(value) and bool(value)


def _position(changer: _Changer, taps: Taps | None) -> float:
    """Return the position that is assumed; stated ones are those of a first tap changer."""
    if taps == "neutral":
        return changer.neutral if changer.exists else changer.pos
    if isinstance(taps, Mapping) and not changer.suffix:
        return float(taps.get(changer.element, changer.pos))
    return changer.pos


def _changer_faults(changer: _Changer, at: float) -> list[Fault]:
    """Return the faults of a tap changer without a table, where its position has an effect."""
    kind = _kind(changer)
    stepped = _is_step(changer.step_percent), _is_step(changer.step_degree)
    if changer.by_table or (kind != "Ideal" and (at == changer.neutral or not any(stepped))):
        return _without_steps(changer, at)
    if math.isnan(at) and changer.kind is None:
        return []  # no position was ever stated, so there is no tap changer
    found: list[str] = []
    if math.isnan(at) or math.isnan(changer.neutral):
        found.append(changer.described("pos" if math.isnan(at) else "neutral"))
    if changer.side not in _ENDS[changer.table]:
        found.append(changer.described("side"))
    column = changer.column("changer_type")
    if kind is None:
        found.append(f"its tap position is {at:g}, but it has no {column}")
    elif kind not in _KNOWN:
        found.append(f"its {column} is {kind}; known are {', '.join(_KNOWN)}")
    elif kind == "Tabular":
        found.append(f"its {column} is Tabular, but its tap_dependency_table is not true")
    elif changer.shifts and kind in _COMPLEX:
        found.append(f"its {column} is {kind}, but it is marked as a phase shifter")
    elif kind == "Ideal" and stepped[0] == stepped[1]:
        found.append("its phase shifter needs either tap_step_percent or tap_step_degree")
    elif kind in _COMPLEX and not stepped[0]:
        found.append(changer.described("step_percent"))
    return [Fault(changer.element, detail) for detail in found]


def _without_steps(changer: _Changer, at: float) -> list[Fault]:
    """Return the fault of a position that no step gives a meaning."""
    moved = not changer.by_table and changer.kind is not None and at != changer.neutral
    if moved and not math.isnan(at) and math.isnan(changer.step_percent):
        return [Fault(changer.element, changer.described("step_percent"))]
    return []


def _table_faults(
    net: Net, changer: _Changer, assumed: Mapping[_Changer, float]
) -> Iterator[Fault]:
    """Yield the faults of a transformer whose ratio and impedance are in a table."""
    rows, table = net[changer.table], net.get("trafo_characteristic_table")
    curves = rows.get("id_characteristic_table", pd.Series(np.nan, rows.index))
    curve, at = curves[changer.index], assumed[changer]
    if not isinstance(table, pd.DataFrame) or pd.isna(curve):
        yield Fault(changer.element, "its tap_dependency_table is true, but it has no table")
        return
    if changer.side not in _ENDS[changer.table]:
        yield Fault(changer.element, changer.described("side"))
    own = table[(table.id_characteristic == curve) & (table.step == at)]
    if len(own) != 1:
        detail = f"its table {curve} has {len(own)} rows for its position {at:g}; one is needed"
        yield Fault(changer.element, detail)
    wanted = ["voltage_ratio", "angle_deg"] + [
        column for column in rows.columns if column.startswith(("vk_", "vkr_")) and column in table
    ]
    if not np.isfinite(own[wanted].to_numpy(dtype=float)).all():
        yield Fault(changer.element, f"its table {curve} has no numbers for its position {at:g}")
    # pandapower looks a row up by the curve alone, so transformers that share one share a position.
    positions = dict(rows.tap_pos.items())
    positions |= {c.index: p for c, p in assumed.items() if c.table == changer.table and c.by_table}
    for i in rows.index[rows.tap_dependency_table.eq(True) & (curves == curve)]:
        if positions[i] != at:
            yield Fault(
                changer.element,
                f"it shares its table {curve} with {changer.table}:{i}, which is at another "
                f"position; each needs a table of its own",
            )


def _stated_faults(net: Net, taps: Taps | None) -> list[Fault]:
    """Return the faults of the positions that are stated."""
    if taps is None or taps in ("as-given", "neutral"):
        return []
    if not isinstance(taps, Mapping):
        detail = f'it is {taps!r}, not "as-given", "neutral" or positions by name'
        return [Fault("taps", detail)]
    faults = []
    first = {changer.element: changer for changer in _changers(net) if not changer.suffix}
    for name, at in taps.items():
        changer = first.get(name)
        if changer is None:
            faults.append(Fault(name, "taps names it, but there is no such transformer in service"))
        elif not changer.exists:
            faults.append(Fault(name, "taps names it, but it has no tap changer"))
        elif not isinstance(at, (int, float)) or isinstance(at, bool) or not math.isfinite(at):
            faults.append(Fault(name, f"its stated tap position is {at}, not a number"))
        elif at < changer.min or at > changer.max:
            detail = f"its tap position {at:g} is not within {changer.min:g} to {changer.max:g}"
            faults.append(Fault(name, detail))
    return faults


def _controller_faults(net: Net, taps: Taps | None) -> Iterator[Fault]:
    """Yield the controllers in service that no stated tap position stands for."""
    rows = in_service(net, "controller")
    running = {element_id(table, i) for table in _ENDS for i in in_service(net, table).index}
    for i, each in rows.object.items():
        kind = type(each).__name__
        if not isinstance(each, (TrafoController, VmSetTapControl)):
            detail = f"{kind} changes the net while a power flow runs; take it out of service"
            yield Fault(element_id("controller", i), detail)
            continue
        moved = [
            element_id(each.element, k)
            for k in np.atleast_1d(getattr(each, "element_index", [])).tolist()
        ]
        unstated = [name for name in moved if isinstance(taps, Mapping) and name not in taps]
        if taps is None or running & set(unstated):
            yield Fault(
                element_id("controller", i),
                f"{kind} moves the tap of {', '.join(unstated or moved) or 'a transformer'}; state "
                f'the position with taps ("as-given", "neutral" or positions by name)',
            )
