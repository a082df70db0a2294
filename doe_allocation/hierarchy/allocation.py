"""Envelopes from the uppermost operator down to every customer, each on its own network.

First upwards: every operator states what may cross its interface
(``InterfaceStatement``).  Then downwards: each divides what its contract
allows among its customers and its children, as fair as they weigh together; what a child is
granted, the band promised to it and its own reactive range are the child's contract
(security.md section 7).  A ``OperatorLevel`` is made of one operator's network
and its children's statements, and its recursion step of one level and one contract.

So the envelopes of all levels hold together: each child keeps the power inside what its parent
counted with, for every voltage of the band; each parent keeps the voltage inside the band, for
every power that its children may exchange.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.fairness.principles import MAX_MIN
from doe_allocation.fairness.rule import Principle
from doe_allocation.hierarchy.interface_statement import InterfaceStatement
from doe_allocation.hierarchy.negotiation import ChildSide, ParentSide
from doe_allocation.hierarchy.operator_level import Division, OperatorArea, OperatorLevel
from doe_allocation.hierarchy.operators import Operator, graph_faults, voltages_at
from security_check.checking.check import SecurityCheck
from security_check.errors import Fault, NetworkFaults
from security_check.model.envelope import EnvelopeSet
from security_check.model.limits import InterfaceLimits

UPSTREAM = "upstream"
"""What the parent of the uppermost operator is called."""

_OWN_UNMET = "its own contract is unmet: "


@dataclass(frozen=True, slots=True)
class UnmetContract:
    """A contract that one side cannot keep, with both ends and the numbers.

    Parameters
    ----------
    parent, child
        The operators; ``"upstream"`` above the uppermost one.
    point
        The connection point of the parent; empty above the uppermost operator.
    side
        ``"child"`` where it cannot live within the contract, ``"parent"`` where it cannot keep
        its promise.
    element, detail
        What is over which limit there, or what the side lacks.
    """

    parent: str
    child: str
    point: str
    side: str
    element: str
    detail: str

    def __str__(self) -> str:
        """Return the sentence for people."""
        where = f"{self.parent} {self.point}".rstrip() + f" / {self.child}"
        if self.side == "child":
            return (
                f"{where}: {self.child} cannot keep the contract with {self.parent}, even with "
                f"everyone at the fallback: {self.element}: {self.detail}"
            )
        return (
            f"{where}: {self.parent} cannot keep its promise to {self.child}: "
            f"{self.element}: {self.detail}"
        )


@dataclass(frozen=True, slots=True)
class OperatorResult:
    """What the recursion found for one operator.

    Parameters
    ----------
    operator, parent, point
        Names, and the parent's connection point; the last two empty for the uppermost operator.
    contract
        In force at its interface.
    statement
        What it stated about that interface; ``None`` for the uppermost operator.
    grid
        The grid of its own network with its children's reactive ranges and bands.
    envelopes
        Of its customers and its children's interfaces.
    check
        The state of the envelopes; ``None`` where the contract is unmet, by either side, and they
        are fallbacks.
    children
        Names of the operators below, by connection point.
    """

    operator: str
    parent: str
    point: str
    contract: InterfaceLimits
    statement: InterfaceStatement | None
    grid: NetworkGrid
    envelopes: EnvelopeSet
    check: SecurityCheck | None
    children: Mapping[str, str]

    @property
    def customers(self) -> dict[str, tuple[int, int]]:
        """Injection and withdrawal limit of every customer of its own, in watts."""
        return {
            each.connection_point: (each.injection_limit_w, each.withdrawal_limit_w)
            for each in self.envelopes
            if each.connection_point not in self.children
        }


@dataclass(frozen=True, slots=True)
class HierarchyAllocation:
    """The envelopes of all levels.

    Parameters
    ----------
    results
        By operator name, parents first.
    unmet
        The contracts that one side cannot keep.
    """

    results: Mapping[str, OperatorResult]
    unmet: tuple[UnmetContract, ...]

    @property
    def customers(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Injection and withdrawal limit of every customer, by operator and connection point."""
        return {
            (name, point): limits_w
            for name, result in self.results.items()
            for point, limits_w in result.customers.items()
        }


@dataclass(frozen=True, slots=True)
class _Node:
    """One operator once everybody below has stated what crosses."""

    name: str
    level: OperatorLevel
    statement: InterfaceStatement | None
    children: Mapping[str, _Node]


def allocate_hierarchy(
    root: Operator, contract: InterfaceLimits, principle: Principle = MAX_MIN
) -> HierarchyAllocation:
    """Return the fair envelopes of a whole operational graph.

    Parameters
    ----------
    root
        The uppermost operator.
    contract
        What holds at its own interface.
    principle
        Of fairness, at every level; it reaches the customers below by the classes stated.

    Raises
    ------
    NetworkFaults
        When the graph has faults; each names both ends of a boundary.  Contracts that cannot be
        kept raise nothing: they are in :attr:`HierarchyAllocation.unmet`.
    """
    faults = graph_faults(root)
    if faults:
        raise NetworkFaults(faults)
    node = _node_of(root, None, None, principle)
    results: dict[str, OperatorResult] = {}
    unmet: list[UnmetContract] = []
    _divide(node, ("", ""), contract, results, unmet)
    return HierarchyAllocation(results, tuple(unmet))


def _node_of(
    operator: Operator,
    band: tuple[float, float] | None,
    reactive_var: tuple[int, int] | None,
    principle: Principle,
) -> _Node:
    """Return an operator with what it and everybody below state; children first."""
    children = {
        point: _node_of(child.operator, child.band, child.reactive_var, principle)
        for point, child in operator.children.items()
    }
    below = {p: node.statement for p, node in children.items() if node.statement is not None}
    level = OperatorLevel(area_of(operator), below, principle)
    statement = None if band is None else level.state(band, reactive_var)
    return _Node(operator.name, level, statement, children)


def area_of(operator: Operator) -> OperatorArea:
    """Return what an operator operates itself, without its children's networks."""
    return OperatorArea(
        operator.network,
        operator.voltage_limits,
        operator.capacity,
        operator.outages,
        operator.weights,
        operator.forecast,
        {point: voltages_at(operator.network, point) for point in operator.children},
    )


def sides_of(
    parent: Operator, contract: InterfaceLimits, point: str
) -> tuple[ParentSide, ChildSide]:
    """Return the two sides of a boundary, for :func:`~doe_allocation.hierarchy.negotiation.agree`.

    Parameters
    ----------
    parent
        The operator above the boundary.
    contract
        In force at its own interface.
    point
        Its connection point with a child, whose band there is what is to be agreed on.

    Raises
    ------
    NetworkFaults
        As :func:`allocate_hierarchy`.
    KeyError
        When there is no child at that connection point.
    """
    faults = graph_faults(parent)
    if faults:
        raise NetworkFaults(faults)
    child = parent.children[point]
    above = ParentSide(area_of(parent), contract, point, _statements(parent, besides=point))
    own = child.operator
    return above, ChildSide(area_of(own), _statements(own), child.reactive_var)


def _statements(operator: Operator, besides: str = "") -> dict[str, InterfaceStatement]:
    """Return what an operator's children state, by connection point."""
    nodes = {
        point: _node_of(child.operator, child.band, child.reactive_var, MAX_MIN)
        for point, child in operator.children.items()
        if point != besides
    }
    return {p: node.statement for p, node in nodes.items() if node.statement is not None}


def _divide(
    node: _Node,
    above: tuple[str, str],
    contract: InterfaceLimits,
    results: dict[str, OperatorResult],
    unmet: list[UnmetContract],
    unpromised: Fault | None = None,
) -> None:
    """Divide one operator's contract, then each child's; add results and unmet contracts.

    A child whose contract is unmet has told the least that crosses its interface, and that is what
    its parent counts with: siblings are secure as long as its voltage is in the band.  Everyone
    below stays at the fallback then, even where the power that crosses would let them rise: the
    contract stated is not kept.  ``unpromised`` is why the parent cannot keep the band: no envelope
    is secure without it, so everyone stays at the fallback, too.
    """
    stated = None if node.statement is None else node.statement.refusal
    if unpromised is not None:
        division, refusal = node.level.divide_at_fallback(contract, unpromised), stated
    elif stated is not None:
        division, refusal = node.level.divide_at_fallback(contract, stated), stated
    else:
        division = node.level.divide(contract)
        refusal = division.refusal
    parent, point = above
    if refusal is not None:
        unmet.append(_unmet(parent or UPSTREAM, node.name, point, "child", refusal))
    results[node.name] = OperatorResult(
        node.name,
        parent,
        point,
        contract,
        node.statement,
        division.grid,
        division.envelopes,
        division.check,
        {at: child.name for at, child in node.children.items()},
    )
    unkept = _unpromised_children(node, division)
    broken = {**node.level.beyond_capacity(), **unkept}
    granted = {each.connection_point: each for each in division.envelopes}
    for at, child in node.children.items():
        if at in broken:
            unmet.append(_unmet(node.name, child.name, at, "parent", broken[at]))
        assert child.statement is not None
        given = granted[at]
        below = child.statement.contract(given.injection_limit_w, given.withdrawal_limit_w)
        _divide(child, (node.name, at), below, results, unmet, unkept.get(at))


def _unpromised_children(node: _Node, division: Division) -> dict[str, Fault]:
    """Return the children whose band an operator cannot promise; all if it keeps none."""
    if division.refusal is None:
        return dict(division.broken)
    refusal = division.refusal
    reason = refusal.detail.removeprefix(_OWN_UNMET)  # once is enough, however far above it is
    everyone = replace(refusal, detail=f"{_OWN_UNMET}{reason}")
    return dict.fromkeys(node.children, everyone) | dict(division.broken)


def _unmet(parent: str, child: str, point: str, side: str, fault: Fault) -> UnmetContract:
    return UnmetContract(parent, child, point, side, fault.element, fault.detail)
