"""What the regulators and capacitor controls of an OpenDSS circuit move, and where it stands.

A network has fixed taps and fixed capacitors.  The controls of a circuit would move them, so where
they stand must be stated: as the circuit's files leave them, neutral, or position by position.
Each position is one setting of a :class:`TapChanger`; a range of positions is a circuit for each of
them (:mod:`security_check.importers.tap_ranges`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from security_check.errors import Fault
from security_check.importers.opendss_circuit.elements import (
    Dss,
    enabled_elements,
    id_of,
    properties,
)

Taps = Literal["as-given", "neutral"] | Mapping[str, float]
"""Where taps stand; positions by the name of a regulator or of its transformer."""

Capacitors = Literal["as-given"] | Mapping[str, int | Sequence[int]]
"""Where capacitors stand; by name, the number of steps in service or 1 and 0 for each step."""


@dataclass(frozen=True, slots=True)
class TapChanger:
    """The tap changer of one winding.

    Parameters
    ----------
    element, winding
        The transformer's name in OpenDSS, and the winding, from 1.
    lowest, highest
        Its positions: steps from the middle of its range.
    middle, step
        The ratio at position 0 and the change of one step, per unit of the rated voltage.
    ratio
        The present ratio.
    """

    element: str
    winding: int
    lowest: int
    highest: int
    middle: float
    step: float
    ratio: float

    @property
    def name(self) -> str:
        """The transformer's name and the winding, ``"reg1.2"``."""
        return f"{self.element.partition('.')[2]}.{self.winding}"

    @property
    def position(self) -> float:
        """The present position; whole unless the ratio is between two steps."""
        return round((self.ratio - self.middle) / self.step, 6) if self.step else 0.0


@dataclass(frozen=True, slots=True)
class _Control:
    """A control, and the names by which what it moves may be stated."""

    element: str
    moved: str
    names: frozenset[str]


def tap_changers(dss: Dss) -> dict[str, TapChanger]:
    """Return the tap changers that enabled regulators move, by the regulators' elements."""
    found = {}
    for control in enabled_elements(dss, {"regcontrol"}):
        given = properties(dss, control)
        name = str(given["transformer"]).lower().rpartition(".")[2]
        winding = int(given.get("tapwinding") or given["winding"])
        for element in _transformers(dss, name):
            found[control] = _changer(dss, element, winding)
    return found


def set_taps(dss: Dss, taps: Taps | None) -> list[Fault]:
    """Set the taps as stated, and return the faults of the statement.

    Without a statement, every enabled regulator is a fault.
    """
    changers = tap_changers(dss)
    if taps is None:
        return [
            Fault(
                id_of(control),
                f"it moves the tap of {id_of(each.element)}, winding {each.winding} (now at "
                f"position {each.position:g} of {each.lowest} to {each.highest}), and the network "
                'has fixed taps: state taps as "as-given", "neutral" or with a position for each',
            )
            for control, each in changers.items()
        ]
    if taps == "as-given":
        return []
    if taps == "neutral":
        return [
            fault
            for control, each in changers.items()
            for fault in _set_neutral(dss, control, each)
        ]
    if not isinstance(taps, Mapping):
        detail = f'they are {taps!r}, but must be "as-given", "neutral" or a position for each name'
        return [Fault("taps", detail)]
    return _set_positions(dss, changers, taps)


def tap_positions(dss: Dss, names: Sequence[str]) -> dict[str, float]:
    """Return where some tap changers stand, by any of their names; without unknown names."""
    changers = tap_changers(dss)
    found = {name: _named(dss, changers, name.lower()) for name in names}
    return {name: each[0].position for name, each in found.items() if each}


def _set_neutral(dss: Dss, control: str, changer: TapChanger) -> list[Fault]:
    reach = sorted(changer.middle + k * changer.step for k in (changer.lowest, changer.highest))
    if not reach[0] - 1e-9 <= 1.0 <= reach[1] + 1e-9:
        detail = f"its ratios are {reach[0]:g} to {reach[1]:g}, so it has no neutral position"
        return [Fault(id_of(control), detail)]
    _set_ratio(dss, changer, 1.0)
    return []


def _set_positions(
    dss: Dss, changers: Mapping[str, TapChanger], taps: Mapping[str, float]
) -> list[Fault]:
    faults, stated = [], {}
    for name, position in taps.items():
        found = {each.name: each for each in _named(dss, changers, str(name).lower())}
        where = f"taps.{name}"
        if len(found) != 1:
            known = ", ".join(sorted(control.partition(".")[2] for control in changers)) or "none"
            detail = (
                f"this could be {' or '.join(found)}"
                if found
                else f"no such regulator, nor transformer with one; the regulators are {known} "
                "(any other tap changer is named by transformer and winding, such as t1.2)"
            )
            faults.append(Fault(where, detail))
            continue
        ((key, changer),) = found.items()
        if not _is_whole(position) or not changer.lowest <= position <= changer.highest:
            shown = f"{position:g}" if isinstance(position, int | float) else f"{position}"
            detail = f"it must be a whole number of {changer.lowest} to {changer.highest}"
            faults.append(Fault(where, f"its position is {shown}; {detail}"))
        elif key in stated:
            faults.append(Fault(where, f"the tap changer {key} is named twice"))
        stated[key] = (changer, position)
    faults += [
        Fault(id_of(control), f"taps gives no position for it (tap changer {each.name})")
        for control, each in changers.items()
        if each.name not in stated
    ]
    if not faults:
        for changer, position in stated.values():
            _set_ratio(dss, changer, changer.middle + position * changer.step)
    return faults


def _is_whole(position: Any) -> bool:
    number = isinstance(position, int | float) and not isinstance(position, bool)
    return number and float(position).is_integer()


def _named(dss: Dss, changers: Mapping[str, TapChanger], name: str) -> list[TapChanger]:
    """Return the tap changers of that name: of a regulator, its transformer, or a winding."""
    found = [
        each
        for control, each in changers.items()
        if name in (control.partition(".")[2], each.element.partition(".")[2], each.name)
    ]
    transformer, dot, winding = name.rpartition(".")
    if found or not dot or not winding.isdigit():
        return found
    return [
        _changer(dss, element, int(winding))
        for element in _transformers(dss, transformer)
        if 1 <= int(winding) <= len(properties(dss, element)["tap"])
    ]


def _transformers(dss: Dss, name: str) -> list[str]:
    found = enabled_elements(dss, {"transformer", "autotrans"})
    return [element for element in found if element.partition(".")[2] == name]


def _changer(dss: Dss, element: str, winding: int) -> TapChanger:
    given = properties(dss, element)

    def of_winding(key: str) -> Any:
        return given[key][winding - 1]

    low, high, steps = of_winding("mintap"), of_winding("maxtap"), int(of_winding("numtaps"))
    return TapChanger(
        element,
        winding,
        lowest=-(steps // 2),
        highest=steps // 2,
        middle=(low + high) / 2.0,
        step=(high - low) / steps if steps else 0.0,
        ratio=float(of_winding("tap")),
    )


def _set_ratio(dss: Dss, changer: TapChanger, ratio: float) -> None:
    dss.Text.Command(f"{changer.element}.wdg={changer.winding}")
    dss.Text.Command(f"{changer.element}.tap={ratio!r}")


def set_capacitors(dss: Dss, capacitors: Capacitors | None) -> list[Fault]:
    """Set the capacitors as stated, and return the faults of the statement.

    Without a statement, every enabled capacitor control is a fault.
    """
    controls = {}
    for control in enabled_elements(dss, {"capcontrol"}):
        name = str(properties(dss, control)["capacitor"]).lower().rpartition(".")[2]
        if f"capacitor.{name}" in enabled_elements(dss, {"capacitor"}):
            controls[control] = name
    if capacitors is None:
        return [
            Fault(
                id_of(control),
                f"it switches capacitor:{name} (steps now {_states(dss, name)}), and the network "
                'has fixed capacitors: state capacitors as "as-given" or with the steps of each',
            )
            for control, name in controls.items()
        ]
    if capacitors == "as-given":
        return []
    if not isinstance(capacitors, Mapping):
        detail = f'they are {capacitors!r}, but must be "as-given" or the steps for each name'
        return [Fault("capacitors", detail)]
    return _set_steps(dss, controls, capacitors)


def _set_steps(
    dss: Dss, controls: Mapping[str, str], capacitors: Mapping[str, int | Sequence[int]]
) -> list[Fault]:
    faults: list[Fault] = []
    stated: dict[str, list[int]] = {}
    known = {each.partition(".")[2] for each in enabled_elements(dss, {"capacitor"})}
    of_control = {control.partition(".")[2]: name for control, name in controls.items()}
    for given, steps in capacitors.items():
        where = f"capacitors.{given}"
        key = str(given).lower()
        names = {name for name in (key if key in known else None, of_control.get(key)) if name}
        if len(names) != 1:
            detail = (
                f"this could be {' or '.join(sorted(names))}"
                if names
                else (f"no such capacitor; the capacitors are {', '.join(sorted(known)) or 'none'}")
            )
            faults.append(Fault(where, detail))
            continue
        (name,) = names
        states = _states_of(steps, len(_states(dss, name)))
        if states is None:
            detail = f"it has {len(_states(dss, name))} steps: give how many are in service, or "
            faults.append(Fault(where, f"{steps!r} is not possible; {detail}1 or 0 for each"))
        elif name in stated:
            faults.append(Fault(where, f"capacitor:{name} is named twice"))
        stated[name] = states or []
    faults += [
        Fault(id_of(control), f"capacitors gives no steps for it (capacitor:{name})")
        for control, name in controls.items()
        if name not in stated
    ]
    if not faults:
        for name, states in stated.items():
            dss.Text.Command(f"capacitor.{name}.states=[{' '.join(map(str, states))}]")
    return faults


def _states(dss: Dss, name: str) -> list[int]:
    return [int(state) for state in properties(dss, f"capacitor.{name}")["states"]]


def _states_of(steps: Any, count: int) -> list[int] | None:
    """Return the state of each step, or ``None`` where the statement is not one."""
    if isinstance(steps, int) and not isinstance(steps, bool):
        return [1] * steps + [0] * (count - steps) if 0 <= steps <= count else None
    if not isinstance(steps, Sequence) or isinstance(steps, str) or len(steps) != count:
        return None
    whole = all(isinstance(each, int) and each in (0, 1) for each in steps)
    return [int(each) for each in steps] if whole else None
