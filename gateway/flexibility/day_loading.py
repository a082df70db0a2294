"""Read a procurement case with the intervals of a day: one case file for each of them.

In the file a power, a price or a half-band is a number, or a list of one number for each interval.
The file of an interval has its number in place of each list, and is read as any other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from doe_allocation.procurement.coupling import Coupling, OfferTerms
from doe_allocation.procurement.problem import ProcurementProblem
from gateway.flexibility.case_loading import LoadedCases, SetChoice, read_cases
from gateway.flexibility.case_schema import IntervalsEntry, TermsEntry
from gateway.formats.faults import InputFaults, repeated_entries, sentences
from gateway.formats.input_files import read_bytes, shown_name
from security_check.errors import Fault
from security_check.model.element_ids import element_id

_DAY_MINUTES = 1440
_VARYING = {
    "pods": ("p_kw", "q_kvar", "power_factor", "half_band_percent"),
    "offers": ("from_kw", "to_kw", "price_eur_per_kwh"),
    "cases": ("flexible_percent", "inflexible_percent"),
}


@dataclass(frozen=True)
class LoadedDay:
    """The cases of a file in each of its intervals.

    Parameters
    ----------
    source
        Name of the file, for messages.
    names
        When each interval begins, ``"18:00"``; one ``""`` where the file has no intervals.
    minutes
        The length of an interval; 60 where the file has none.
    parts
        The cases in each interval.
    coupling
        What couples the intervals; ``None`` where nothing does.
    """

    source: str
    names: tuple[str, ...]
    minutes: int
    parts: tuple[LoadedCases, ...]
    coupling: Coupling | None

    @property
    def cases(self) -> tuple[str, ...]:
        """The names of the cases."""
        return tuple(self.parts[0].bands)

    @property
    def planes(self) -> int:
        """The number of planes of the file."""
        return self.parts[0].content.planes

    def problems(self, case: str, choice: SetChoice) -> list[ProcurementProblem]:
        """Return what is to be procured in each interval of a case.

        Raises
        ------
        InputFaults
            When the set is none for this number of resources, or there is no such case.
        """
        return [part.problem(case, choice) for part in self.parts]


def load_day(path: Path) -> LoadedDay:
    """Return the cases of a file; raises :class:`InputFaults` with every fault of it."""
    return read_day(read_bytes(path), shown_name(path))


def read_day(text: bytes, source: str) -> LoadedDay:
    """Return the cases of a JSON text in all intervals; ``source`` names it in messages.

    Raises
    ------
    InputFaults
        With every fault of the text.
    """
    try:
        raw = json.loads(text)
    except ValueError:  # the reader of one interval says where
        raw = None
    given = raw.get("intervals") if isinstance(raw, dict) else None
    if given is None:
        part = read_cases(text, source)
        return LoadedDay(source, ("",), 60, (part,), _coupling(part, 60, 1, source))
    if repeated := repeated_entries(text):
        raise InputFaults(source, repeated)
    intervals = _intervals(given, source)
    if faults := list(_length_faults(raw, intervals.count)):
        raise InputFaults(source, faults)
    texts = [json.dumps(_at(raw, t)).encode() for t in range(intervals.count)]
    names = _names(intervals)
    first = _read_all(texts, names, source, None)
    largest_w = max(part.network.base_power_w for part in first)
    parts = _read_all(texts, names, source, largest_w)
    if parts[0].content.terms and any(_who(part) != _who(parts[0]) for part in parts):
        detail = "without offers in the file, these differ between intervals, so that no terms can"
        raise InputFaults(source, [Fault("offers", f"{detail} couple them")])
    coupling = _coupling(parts[0], intervals.minutes, intervals.count, source)
    return LoadedDay(source, names, intervals.minutes, tuple(parts), coupling)


def _intervals(given: Any, source: str) -> IntervalsEntry:
    try:
        intervals = IntervalsEntry.model_validate_json(json.dumps(given))
    except ValidationError as error:
        raise InputFaults(source, sentences(error, "intervals")) from None
    minutes = _start(intervals) + intervals.count * intervals.minutes
    if minutes > _DAY_MINUTES:
        detail = (
            f"{intervals.count} intervals of {intervals.minutes} minutes from {intervals.start} "
            f"end {minutes - _DAY_MINUTES} minutes after the day"
        )
        raise InputFaults(source, [Fault("intervals", detail)])
    return intervals


def _start(intervals: IntervalsEntry) -> int:
    hours, minutes = intervals.start.split(":")
    return 60 * int(hours) + int(minutes)


def _names(intervals: IntervalsEntry) -> tuple[str, ...]:
    at = [_start(intervals) + t * intervals.minutes for t in range(intervals.count)]
    return tuple(f"{each // 60:02}:{each % 60:02}" for each in at)


def _series(raw: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield the place, the object and the key of each list of numbers."""
    for part, keys in _VARYING.items():
        content = raw.get(part)
        if isinstance(content, dict):
            entries = list(content.items())
        else:
            entries = list(enumerate(content)) if isinstance(content, list) else []
        for name, entry in entries:
            for key in keys:
                if isinstance(entry, dict) and isinstance(entry.get(key), list):
                    yield f"{part}.{name}.{key}", entry, key


def _length_faults(raw: dict[str, Any], count: int) -> Iterator[Fault]:
    for place, entry, key in _series(raw):
        if len(entry[key]) != count:
            detail = f"it has {len(entry[key])} numbers for {count} intervals"
            yield Fault(place, detail)


def _at(raw: dict[str, Any], interval: int) -> dict[str, Any]:
    """Return the content of one interval's file."""
    content: dict[str, Any] = json.loads(json.dumps(raw))
    for _, entry, key in list(_series(content)):
        entry[key] = entry[key][interval]
    return content


def _read_all(
    texts: Sequence[bytes], names: Sequence[str], source: str, largest_w: float | None
) -> list[LoadedCases]:
    """Return the cases of all intervals, or the faults: those of some with their interval."""
    parts: list[LoadedCases] = []
    found: list[tuple[Fault, ...]] = []
    for text in texts:
        try:
            parts.append(read_cases(text, source, largest_w))
            found.append(())
        except InputFaults as error:
            found.append(error.faults)
    if len(parts) == len(texts):
        return parts
    faults: dict[str, Fault] = {}
    for name, own in zip(names, found, strict=True):
        for fault in own:
            if all(fault in others for others in found):
                faults.setdefault(str(fault), fault)
            else:
                at = Fault(fault.element, f"at {name}: {fault.detail}")
                faults.setdefault(f"{fault.element} {fault.detail}", at)
    raise InputFaults(source, faults.values())


def _who(part: LoadedCases) -> list[tuple[int, str]]:
    return [(offer.resource, offer.direction.value) for offer in part.offers]


def _coupling(part: LoadedCases, minutes: int, count: int, source: str) -> Coupling | None:
    """Return the terms of the file; ``part`` is its first interval."""
    places = {str(each.pod): k for k, each in enumerate(part.content.pods)}
    faults, found, seen = [], [], set()
    for entry in part.content.terms:
        own = f"{element_id('pod', entry.pod)} {entry.direction.value}"
        steps = tuple(
            k
            for k, offer in enumerate(part.offers)
            if offer.resource == places.get(str(entry.pod)) and offer.direction is entry.direction
        )
        if own in seen:
            faults.append(Fault(own, "it has terms twice"))
        elif not steps:
            faults.append(Fault(own, "it has terms over time, but offers nothing"))
        else:
            faults += [Fault(own, each) for each in _term_faults(entry, minutes, count)]
            found.append(_terms(entry, steps, minutes, part.network.base_power_w))
        seen.add(own)
    if faults:
        raise InputFaults(source, faults)
    return Coupling(tuple(found)) if found else None


def _term_faults(entry: TermsEntry, minutes: int, count: int) -> Iterator[str]:
    shortest, longest = entry.shortest_minutes or minutes, entry.longest_minutes
    if longest is not None and longest < max(minutes, shortest):
        what = f"an interval of {minutes}" if longest < minutes else f"its shortest, {shortest}"
        yield f"its longest activation, {longest} minutes, is shorter than {what}"
    if shortest > minutes * count:
        yield f"its shortest activation, {shortest} minutes, is longer than all intervals"
    if entry.shortest_minutes is not None and entry.least_kw is None:
        yield "it has shortest_minutes without least_kw: an activation of 0 kW would be one"


def _terms(
    entry: TermsEntry, steps: tuple[int, ...], minutes: int, base_power_w: float
) -> OfferTerms:
    unit_kw = base_power_w / 1e3
    least, ramp, energy = entry.least_kw, entry.ramp_kw, entry.energy_kwh
    longest = entry.longest_minutes
    return OfferTerms(
        steps,
        energy=float("inf") if energy is None else energy * 60.0 / minutes / unit_kw,
        ramp=float("inf") if ramp is None else ramp / unit_kw,
        least=0.0 if least is None else least / unit_kw,
        shortest=-(-(entry.shortest_minutes or 1) // minutes),
        longest=None if longest is None else longest // minutes,
        rest=-(-(entry.rest_minutes or 1) // minutes),
    )
