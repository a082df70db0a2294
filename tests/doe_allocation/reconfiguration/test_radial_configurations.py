"""Radial configurations, against every subset of switches judged by networkx."""

from __future__ import annotations

import itertools

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doe_allocation.reconfiguration.radial_configurations import CUT_OFF, LOOP, SwitchableGraph


def _is_radial(graph: SwitchableGraph, closed: tuple[bool, ...]) -> bool:
    multigraph = nx.MultiGraph()
    multigraph.add_nodes_from(range(graph.nodes))
    multigraph.add_edges_from(graph.fixed)
    multigraph.add_edges_from(e for e, c in zip(graph.switchable, closed, strict=True) if c)
    multigraph.add_node("grid")  # all sources hang on it
    multigraph.add_edges_from(("grid", source) for source in graph.sources)
    return nx.is_tree(multigraph)


@st.composite
def graphs(draw: st.DrawFn) -> SwitchableGraph:
    nodes = draw(st.integers(1, 6))
    ends = st.tuples(st.integers(0, nodes - 1), st.integers(0, nodes - 1))
    return SwitchableGraph(
        nodes,
        tuple(draw(st.sets(st.integers(0, nodes - 1), min_size=1, max_size=2))),
        tuple(draw(st.lists(ends, max_size=2))),
        tuple(draw(st.lists(ends, max_size=8))),
    )


@given(graphs(), st.data())
@settings(max_examples=300, deadline=None)
def test_configurations_are_all_radial_subsets(graph: SwitchableGraph, data: st.DataObject) -> None:
    every = list(itertools.product((False, True), repeat=len(graph.switchable)))
    radial = {closed for closed in every if _is_radial(graph, closed)}
    found = list(graph.configurations())
    assert len(found) == len(set(found))
    assert set(found) == radial
    assert graph.count() == len(radial)
    for closed in every:
        assert (graph.why_not_radial(closed) == "") == (closed in radial)
    present = data.draw(st.sampled_from(every))
    most = data.draw(st.integers(0, len(graph.switchable)))
    near = {c for c in radial if sum(a != b for a, b in zip(c, present, strict=True)) <= most}
    limited = list(graph.configurations(present, most))
    assert len(limited) == len(near)
    assert set(limited) == near
    for closed in radial:
        neighbours = {c for c in radial if sum(a != b for a, b in zip(c, closed, strict=True)) == 2}
        assert set(graph.exchanges(closed)) == neighbours
    if radial:
        cost = data.draw(
            st.lists(st.integers(0, 9), min_size=len(every[0]), max_size=len(every[0]))
        )
        least = min(sum(v for v, c in zip(cost, closed, strict=True) if c) for closed in radial)
        chosen = graph.tree_along(cost)
        assert chosen in radial
        assert sum(v for v, c in zip(cost, chosen, strict=True) if c) == least


def test_what_is_not_radial_is_reported() -> None:
    triangle = SwitchableGraph(3, (0,), ((0, 1),), ((1, 2), (2, 0)))
    assert triangle.why_not_radial((True, True)) == LOOP
    assert triangle.why_not_radial((False, False)) == CUT_OFF
    assert triangle.cut_off((False, False)) == [2]
    assert SwitchableGraph(2, (0,), ((0, 1), (1, 0)), ()).fixed_loop() == 1


def test_two_sources_are_not_joined() -> None:
    line = SwitchableGraph(3, (0, 2), (), ((0, 1), (1, 2)))
    assert set(line.configurations()) == {(True, False), (False, True)}


@pytest.mark.slow
def test_the_33_bus_network_has_50751_radial_configurations() -> None:
    import pandapower.networks as pn

    net = pn.case33bw()
    ends = tuple(zip(net.line.from_bus.tolist(), net.line.to_bus.tolist(), strict=True))
    graph = SwitchableGraph(33, (0,), (), ends)
    found = set(graph.configurations())
    assert len(found) == 50_751 == graph.count()
    assert all(_is_radial(graph, closed) for closed in list(found)[::500])
