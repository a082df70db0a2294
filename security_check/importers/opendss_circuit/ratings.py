"""The monitored branches of an OpenDSS circuit and their ratings.

Lines, and reactors and capacitors in series, have ``normamps``; where the circuit's files give
none, OpenDSS takes a default (400 A for lines) that is not data.  The windings of transformers have
their kVA, scaled by ``normhkva`` where it is given: OpenDSS's default of 110 % is not data either.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from security_check.errors import Fault
from security_check.importers.opendss_circuit.elements import (
    Dss,
    enabled_elements,
    id_of,
    kind_of,
    properties,
)
from security_check.model.network_elements import UNRATED

_DEFAULT_LINE_A = 400.0
_DEFAULT_OVERLOAD = 1.1  # normhkva over kVA
_TRANSFORMERS = ("transformer", "autotrans")


@dataclass(frozen=True, slots=True)
class End:
    """One end of a branch.

    Parameters
    ----------
    side
        Its number, ``"1"`` for the first.
    rating_a
        The rating of each of its currents, A.
    currents
        The conductors of the element that carry each current into it together, from 0.
    """

    side: str
    rating_a: float
    currents: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Branch:
    """A branch in service: a line, transformer, or a reactor or capacitor in series.

    Parameters
    ----------
    element
        Its name in OpenDSS, for example ``"line.l1"``.
    name
        Its id, for example ``"line:l1"`` or ``"trafo:t"``.
    ends
        Its ends with their ratings.
    """

    element: str
    name: str
    ends: tuple[End, ...]


def branches(dss: Dss, default_rating_a: float | None) -> tuple[list[Branch], list[Fault]]:
    """Return the branches in service in the circuit's order, and the faults of their ratings.

    Parameters
    ----------
    dss
        The circuit, solved.
    default_rating_a
        The rating of lines, reactors and capacitors whose files give none, A; a fault for each of
        these without it.
    """
    found, faults = [], []
    for element in enabled_elements(dss, (*_TRANSFORMERS, "line", "reactor", "capacitor")):
        if kind_of(element) in _TRANSFORMERS:
            ends = _windings(dss, element)
        elif is_series(dss, element):
            rating_a = _line_rating_a(dss, element)
            rating_a = default_rating_a if rating_a is None else rating_a
            if rating_a is None:
                faults.append(_unrated(element))
                continue
            ends = _same_ends(dss, element, rating_a)
        else:
            continue
        branch = Branch(element, id_of(element), ends)
        faults += _rating_faults(branch)
        found.append(branch)
    return found, faults


def is_series(dss: Dss, element: str) -> bool:
    """Return whether a line, reactor or capacitor joins nodes; the others lie across a bus."""
    if kind_of(element) == "line":
        return True
    dss.Circuit.SetActiveElement(element)
    conductors, terminals = int(dss.CktElement.NumConductors()), int(dss.CktElement.NumTerminals())
    return terminals > 1 and any(dss.CktElement.NodeRef()[conductors:])


def _same_ends(dss: Dss, element: str, rating_a: float) -> tuple[End, ...]:
    dss.Circuit.SetActiveElement(element)
    count = int(dss.CktElement.NumConductors())
    return tuple(
        End(str(end + 1), rating_a, tuple((end * count + k,) for k in range(count)))
        for end in range(int(dss.CktElement.NumTerminals()))
    )


def _line_rating_a(dss: Dss, element: str) -> float | None:
    """Return the ``normamps`` of a line, reactor or capacitor, or ``None`` where none is given."""
    dss.Circuit.SetActiveElement(element)
    rating_a = float(dss.CktElement.NormalAmps())
    if kind_of(element) != "line":
        # Without normamps OpenDSS derives it from kvar, which says how large the impedance is.
        return rating_a if "normamps" in properties(dss, element, entered=True) else None
    if rating_a > 0.0 and rating_a != _DEFAULT_LINE_A:
        return rating_a
    entered = properties(dss, element, entered=True)
    if {"geometry", "spacing"} & set(entered):  # its wires have a rating, or zero
        return rating_a if rating_a > 0.0 else None
    if "normamps" not in entered:
        return None
    if "linecode" not in entered:
        return rating_a
    # A line code counts as giving all its properties, one after the other.
    order = list(entered)
    at = order.index("normamps")
    inherited = order[at - 1] == "ratings" and order[at + 1 : at + 2] == ["emergamps"]
    return None if inherited and not _code_is_rated(dss, entered["linecode"]) else rating_a


def _code_is_rated(dss: Dss, code: Any) -> bool:
    if not code:  # a line like another does not name its line code
        return False
    dss.Circuit.SetActiveClass("linecode")
    dss.ActiveClass.Name(str(code))
    return '"normamps"' in str(dss.Element.ToJSON(0)).lower()


def _unrated(element: str) -> Fault:
    if kind_of(element) == "line":
        source = "neither it nor its line code or wires give normamps (OpenDSS would take 400 A)"
    else:
        source = "it gives no normamps"
    remedy = "give normamps, or state default_rating_a for all elements without a rating"
    return Fault(id_of(element), f"its rating is not known: {source}; {remedy}")


def _windings(dss: Dss, element: str) -> tuple[End, ...]:
    """Return the ends of a transformer: the current of each winding's kVA at its rated voltage."""
    given = properties(dss, element)
    powers, volts = given["kva"], given["kv"]
    phases = int(given["phases"])
    scale = _overload(dss, element, float(given["normhkva"]), float(powers[0]))
    per_phase = {1: 1.0, 2: math.sqrt(3.0)}.get(phases, 2.0 * math.sin(math.pi / phases))
    groups = _auto_currents(dss) if kind_of(element) == "autotrans" else _currents(dss)
    return tuple(
        End(
            str(winding + 1),
            scale * float(power) / phases / (float(kv) / per_phase) if kv else math.nan,
            groups[winding],
        )
        for winding, (power, kv) in enumerate(zip(powers, volts, strict=True))
    )


def _overload(dss: Dss, element: str, normal_kva: float, first_kva: float) -> float:
    """Return the permitted over the rated power; 1 where ``normhkva`` is OpenDSS's default."""
    if not math.isclose(normal_kva, _DEFAULT_OVERLOAD * first_kva, rel_tol=1e-9):
        return normal_kva / first_kva if first_kva else math.nan
    order = list(properties(dss, element, entered=True))
    # A kVA that comes after it sets it back to the default.
    given = "normhkva" in order and not {"kva", "xfmrcode"} & set(order[order.index("normhkva") :])
    return _DEFAULT_OVERLOAD if given else 1.0


def _currents(dss: Dss) -> list[tuple[tuple[int, ...], ...]]:
    """Return the conductors of each winding of the active transformer, one by one."""
    count, ends = int(dss.CktElement.NumConductors()), int(dss.CktElement.NumTerminals())
    return [tuple((end * count + k,) for k in range(count)) for end in range(ends)]


def _auto_currents(dss: Dss) -> list[tuple[tuple[int, ...], ...]]:
    """Return the conductors of each terminal of the active autotransformer, joined by node.

    The series winding ends at the second terminal, whose current is that of both windings.  Its
    kVA is the power through the terminals; OpenDSS's own ``normamps`` takes it for that of the
    series winding alone, which is more.
    """
    count, ends = int(dss.CktElement.NumConductors()), int(dss.CktElement.NumTerminals())
    nodes = [int(node) for node in dss.CktElement.NodeRef()]
    first = count // 2
    members = [
        range(first),
        range(first, 2 * count),
        *(range(end * count, (end + 1) * count) for end in range(2, ends)),
    ]
    joined = []
    for conductors in members:
        at: dict[int, list[int]] = {}
        for k in conductors:
            at.setdefault(nodes[k], []).append(k)
        joined.append(tuple(tuple(each) for node, each in at.items() if node))
    return joined


def _rating_faults(branch: Branch) -> list[Fault]:
    wrong = [end.rating_a for end in branch.ends if not 0.0 < end.rating_a < UNRATED]
    detail = f"a real rating above 0 and below {UNRATED:g} A is needed"
    return [Fault(branch.name, f"its rating is {rated:g} A: {detail}") for rated in wrong[:1]]
