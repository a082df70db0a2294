"""The sections of a scenario file as they are stated, before anything is built from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.formats.identifiers import is_identifier
from gateway.scenario.schema import (
    ActionsSection,
    CapacitySection,
    FairnessSection,
    FlexibilitySection,
    InterfaceSection,
    IntervalsSection,
    InvertersSection,
    LimitsSection,
    MarketSection,
    MeteringSection,
    NetworkSection,
    ParsedSection,
    ProfilesSection,
    Section,
    UncertaintySection,
    parse_section,
)
from security_check.errors import Fault
from security_check.importers import Net

_SECTIONS: dict[str, type[Section]] = {
    "network": NetworkSection,
    "limits": LimitsSection,
    "interface": InterfaceSection,
    "capacity": CapacitySection,
    "inverters": InvertersSection,
    "uncertainty": UncertaintySection,
    "fairness": FairnessSection,
    "actions": ActionsSection,
    "profiles": ProfilesSection,
    "market": MarketSection,
    "metering": MeteringSection,
    "flexibility": FlexibilitySection,
    "intervals": IntervalsSection,
}
_REQUIRED = ("network", "interface", "capacity")
_NO_DEFAULTS = (
    "actions",
    "metering",
    "flexibility",
)  # absent sections that do not stand for their defaults


@dataclass(frozen=True, slots=True)
class Stated:
    """The content of a file, and the faults found so far, to which each builder adds."""

    path: Path
    content: Mapping[str, Any]
    sections: Mapping[type[Section], Section | None]
    area: str
    net: Net | None
    faults: list[Fault]

    @property
    def folder(self) -> Path:
        """The folder of the scenario file, to which the paths in its sections are relative."""
        return self.path.parent

    def section(self, kind: type[ParsedSection]) -> ParsedSection | None:
        """Return a section; ``None`` if it is missing or has faults."""
        found = self.sections[kind]
        assert found is None or isinstance(found, kind)
        return found


def read_stated(content: Mapping[str, Any], path: Path, net: Net | None) -> Stated:
    """Return the sections of a file, with the faults of each."""
    faults: list[Fault] = []
    sections = _sections(content, faults)
    area = _area(content.get("area", path.stem), named="area" in content, faults=faults)
    return Stated(path, content, sections, area, net, faults)


def _sections(
    content: Mapping[str, Any], faults: list[Fault]
) -> dict[type[Section], Section | None]:
    """Return every section, ``None`` if it is missing or has faults."""
    known = {*_SECTIONS, "participants", "perimeters", "area"}
    faults += [Fault(name, "there is no such section") for name in content if name not in known]
    found: dict[type[Section], Section | None] = {}
    for name, kind in _SECTIONS.items():
        if name not in content and name in _REQUIRED:
            faults.append(Fault(name, "this section is missing"))
            found[kind] = None
        elif name not in content and name in _NO_DEFAULTS:
            found[kind] = None
        else:
            found[kind] = parse_section(kind, name, content.get(name, {}), faults)
    return found


def _area(given: Any, *, named: bool, faults: list[Fault]) -> str:
    if isinstance(given, str) and is_identifier(given):
        return given
    if not named:  # the name of a file is never a fault
        return "area"
    faults.append(
        Fault(
            "area",
            f"{given!r} cannot be a part of a topic; it must not have blanks, slashes, + or #",
        )
    )
    return "area"
