"""Ids are read back as what they were built of."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security_check.model import element_ids
from security_check.model.element import Element, State

TABLES = st.sampled_from(["line", "trafo3w", "bus", "asymmetric_load", "gen"])
PHASES = st.sampled_from(["", "a", "b", "c", "1", "4"])


@given(TABLES, st.integers(0, 10**9), PHASES)
def test_an_id_is_read_back(table: str, index: int, phase: str) -> None:
    element = element_ids.element_id(table, index, phase)
    whole = element_ids.without_phase(element)
    assert whole == f"{table}:{index}"
    assert element_ids.kind_of(element) == table
    assert element_ids.phase_of(element) == phase
    assert element_ids.has_index(whole)
    assert element_ids.table_row(whole) == (table, index)
    assert element_ids.has_index(element) == (not phase)


NAMES = st.builds(element_ids.element_id, TABLES, st.integers(0, 99))
STATES = st.builds(
    State,
    st.lists(
        st.tuples(NAMES | st.sampled_from(["reg1", "sub.2"]), st.integers(-99, 99)),
        unique_by=lambda pair: pair[0],
        max_size=3,
    ).map(tuple),
    st.just("") | NAMES,
)


@given(st.lists(st.tuples(TABLES, st.integers(0, 99)), min_size=1), STATES)
def test_members_and_states_are_read_back(rows: list[tuple[str, int]], state: State) -> None:
    ids = [element_ids.element_id(*row) for row in rows]
    joined = element_ids.joined_id(ids)
    assert element_ids.members_of(joined) == ids
    assert State.parse(str(state)) == state
    assert Element.parse(str(Element(joined, state))) == Element(joined, state)


def test_states_are_named_in_words() -> None:
    moved = State((("trafo:0", -2),))
    assert str(Element("bus:4")) == "bus:4"
    assert str(Element("bus:4", State(outage="line:3"))) == "bus:4 without line:3"
    assert str(Element("bus:4", moved)) == "bus:4 with trafo:0 at -2"
    both = State((("trafo:0", -2), ("trafo:1", 3)), "line:3")
    assert str(Element("bus:4", both)) == "bus:4 with trafo:0 at -2 and trafo:1 at 3 without line:3"


@pytest.mark.parametrize("element", ["line", "line:", "line:x", "line:-1", "line:3.a", "interface"])
def test_an_id_without_an_index_is_named_in_the_error(element: str) -> None:
    assert not element_ids.has_index(element)
    with pytest.raises(ValueError, match=f"^{element} is not an element with an index"):
        element_ids.table_row(element)


def test_the_examples_are_true() -> None:
    assert doctest.testmod(element_ids).failed == 0
