"""Tables of a scenario that name elements of the network, and the faults that they share.

A table gives each element a value, with ``default`` for the elements that it does not name; or it
gives each name (a participant, a perimeter) a list of connection points.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from gateway.formats.identifiers import is_identifier
from security_check.errors import Fault

DEFAULT = "default"
"""The key of the value that holds for all elements without one of their own."""


def values_for(table: Mapping[str, float], elements: Iterable[str], usual: float) -> list[float]:
    """Return each element's value, or the table's default, or ``usual`` where it has none."""
    default = table.get(DEFAULT, usual)
    return [table.get(element, default) for element in elements]


def unknown_elements(
    key: str,
    named: Iterable[str],
    known: Collection[str],
    kind: str = "connection point of the network",
) -> Iterator[Fault]:
    """Yield a fault for each named element that is not known.

    Parameters
    ----------
    key
        The entry of the scenario that names the elements, for example ``capacity.injection_w``.
    kind
        What the known elements are, for the sentence.
    """
    for element in named:
        if element not in known:
            yield Fault(element, f"{key} names it, but it is not a {kind}")


def missing_values(
    key: str, table: Mapping[str, float], elements: Iterable[str]
) -> Iterator[Fault]:
    """Yield a fault for each element without a value, in a table without a default."""
    if DEFAULT not in table:
        for element in elements:
            if element not in table:
                yield Fault(element, f"{key} has neither a value for it nor a default")


def listed_points(
    section: str,
    given: Any,
    points: Collection[str],
    reserved: Collection[str],
    faults: list[Fault],
) -> Iterator[tuple[str, list[str]]]:
    """Yield each name of a section with its connection points, after adding the faults of both.

    Parameters
    ----------
    section
        ``"participants"`` or ``"perimeters"``.
    given
        The section as written in the file.
    points
        The connection points of the network.
    reserved
        Names that the section must not use.
    """
    if not isinstance(given, Mapping):
        faults.append(Fault(section, f"it must be a table of {section}"))
        return
    for name, members in given.items():
        where = f"{section}.{name}"
        if not is_identifier(name) or name in reserved:
            detail = "it is reserved, or has blanks, slashes, + or #"
            sentence = f"this cannot be a {section.removesuffix('s')}'s name: {detail}"
            faults.append(Fault(where, sentence))
        if not isinstance(members, list) or not all(isinstance(each, str) for each in members):
            faults.append(Fault(where, "it must be a list of connection points"))
            continue
        faults += [
            Fault(where, f"{point} is not a connection point of the network")
            for point in members
            if point not in points
        ]
        yield name, [point for point in members if point in points]
