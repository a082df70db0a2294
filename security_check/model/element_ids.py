"""The ids of elements, ``"line:3"`` or ``"bus:4.a"``: built and read here only.

An id is a table and a name within it.  Where phases are modelled, nodes and conductors end in their
phase.  Several elements that results show as one are joined with ``+``.
"""

from __future__ import annotations

from collections.abc import Iterable

AUXILIARY = "auxiliary"
"""The table of nodes that only a model has, such as the star point of a transformer."""


def element_id(table: str, name: object, phase: object = "") -> str:
    """Return the id of an element.

    Parameters
    ----------
    table
        Its kind, in pandapower the table that it is a row of: ``"line"``.
    name
        Its name there, in pandapower its index.
    phase
        The phase of one of its conductors; empty for the whole element.

    Examples
    --------
    >>> element_id("line", 3), element_id("bus", 4, "a")
    ('line:3', 'bus:4.a')
    """
    whole = f"{table}:{name}"
    return at_phase(whole, phase) if phase else whole


def element_ids(table: str, names: Iterable[object]) -> tuple[str, ...]:
    """Return the ids of several elements of a table."""
    return tuple(element_id(table, name) for name in names)


def kind_of(element: str) -> str:
    """Return the table of an element.

    Examples
    --------
    >>> kind_of("line:3.a")
    'line'
    """
    return element.partition(":")[0]


def name_of(element: str) -> str:
    """Return the name of an element in its table, with its phase.

    Examples
    --------
    >>> name_of("line:3"), name_of("bus:4.a")
    ('3', '4.a')
    """
    return element.partition(":")[2]


def table_row(element: str) -> tuple[str, int]:
    """Return the pandapower table of an element and its index there.

    Raises
    ------
    ValueError
        When the id does not end in an index.

    Examples
    --------
    >>> table_row("load:7")
    ('load', 7)
    """
    if not has_index(element):
        raise ValueError(f"{element} is not an element with an index, such as line:3")
    return kind_of(element), int(name_of(element))


def has_index(element: str) -> bool:
    """Return whether an id ends in an index, as those of pandapower's elements do."""
    return name_of(element).isdecimal()


def at_phase(element: str, phase: object) -> str:
    """Return the id of one phase of an element."""
    return f"{element}.{phase}"


def phase_of(element: str) -> str:
    """Return the phase in an id; empty where it has none.

    Examples
    --------
    >>> phase_of("bus:4.a"), phase_of("bus:4")
    ('a', '')
    """
    return element.rpartition(".")[2] if "." in element else ""


def without_phase(element: str) -> str:
    """Return an id without its phase.

    Examples
    --------
    >>> without_phase("bus:4.a"), without_phase("bus:4")
    ('bus:4', 'bus:4')
    """
    return element.rpartition(".")[0] if "." in element else element


def joined_id(elements: Iterable[str]) -> str:
    """Return the id of several elements together.

    Examples
    --------
    >>> joined_id(["gen:0", "gen:2"])
    'gen:0+gen:2'
    """
    return "+".join(elements)


def members_of(element: str) -> list[str]:
    """Return the elements of which an id is joined; the inverse of :func:`joined_id`."""
    return element.split("+")
