"""Ids are read back as what they were built of."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security_check.model import element_ids
from security_check.model.element import Element

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


@given(st.lists(st.tuples(TABLES, st.integers(0, 99)), min_size=1), st.text("lines:3", max_size=6))
def test_members_and_outages_are_read_back(rows: list[tuple[str, int]], outage: str) -> None:
    ids = [element_ids.element_id(*row) for row in rows]
    joined = element_ids.joined_id(ids)
    assert element_ids.members_of(joined) == ids
    assert Element.parse(str(Element(joined, outage))) == Element(joined, outage)


@pytest.mark.parametrize("element", ["line", "line:", "line:x", "line:-1", "line:3.a", "interface"])
def test_an_id_without_an_index_is_named_in_the_error(element: str) -> None:
    assert not element_ids.has_index(element)
    with pytest.raises(ValueError, match=f"^{element} is not an element with an index"):
        element_ids.table_row(element)


def test_the_examples_are_true() -> None:
    assert doctest.testmod(element_ids).failed == 0
