"""The recursion: envelopes from the uppermost operator down to every customer.

Upwards, every operator makes a statement about its interface
(:class:`~doe_allocation.hierarchy.interface_statement.InterfaceStatement`).  Downwards, every
operator divides its contract among its customers and its children, by their weights.  The envelope
granted to a child, the band promised to it and its own reactive range are the child's contract
(docs/hierarchy.md).  Each step uses the network of one operator only
(:class:`~doe_allocation.hierarchy.operator_level.OperatorLevel`).

So the envelopes of all operators are secure together: each child keeps its power inside the
envelope that its parent counted with, for every voltage of the band; each parent keeps the voltage
inside the band, for every power that its children may exchange.
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
"""Name of the parent of the uppermost operator."""

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
        ``"child"`` if the child is not secure under the contract, ``"parent"`` if the parent
        cannot keep its promise.
    element, detail
        The element over its limit there with the numbers, or another reason.
    """

    parent: str
    child: str
    point: str
    side: str
    element: str
    detail: str

    def __str__(self) -> str:
        """Return the message, a sentence."""
        where = f"{self.parent} {self.point}".rstrip() + f" / {self.child}"
        if self.side == "child":
            return (
                f"{where}: {self.child} cannot keep the contract with {self.parent}, even with "
                f"all customers at the fallback: {self.element}: {self.detail}"
            )
        return (
            f"{where}: {self.parent} cannot keep its promise to {self.child}: "
            f"{self.element}: {self.detail}"
        )


@dataclass(frozen=True, slots=True)
class OperatorResult:
    """The result of the recursion for one operator.

    Parameters
    ----------
    operator, parent, point
        Names, and the parent's connection point; the last two empty for the uppermost operator.
    contract
        In force at its interface.
    statement
        Its statement about that interface; ``None`` for the uppermost operator.
    grid
        The grid of its own network with its children's reactive ranges and bands.
    envelopes
        Of its customers and its children's interfaces.
    check
        The security check of the envelopes; ``None`` where either side cannot keep the contract
        and all limits are fallbacks.
    fallback_secure
        Whether there is no check, but the fallbacks are secure under the contract, and the parent
        keeps its side of it.
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
    fallback_secure: bool
    children: Mapping[str, str]

    @property
    def customers(self) -> dict[str, tuple[int, int]]:
        """Injection and withdrawal limit of each of its own customers, in watts."""
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
    """One operator with the statements of all operators below it."""

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
        In force at its own interface.
    principle
        Of fairness, for every operator; it reaches the customers below by the classes stated.

    Raises
    ------
    NetworkFaults
        When the graph has faults; each names both ends of a boundary.  Contracts that cannot be
        kept are not errors: they are in :attr:`HierarchyAllocation.unmet`.
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
    """Return an operator with its statement and those of all operators below; children first."""
    children = {
        point: _node_of(child.operator, child.band, child.reactive_var, principle)
        for point, child in operator.children.items()
    }
    below = {p: node.statement for p, node in children.items() if node.statement is not None}
    level = OperatorLevel(area_of(operator), below, principle)
    statement = None if band is None else level.state(band, reactive_var)
    return _Node(operator.name, level, statement, children)


def area_of(operator: Operator) -> OperatorArea:
    """Return an operator's own network, without those of its children."""
    return OperatorArea(
        operator.network,
        operator.voltage_limits,
        operator.capacity,
        operator.states,
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
        The connection point of the child; the band there is to be agreed on.

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
    """Return the statements of an operator's children, by connection point."""
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

    A child that cannot keep its contract has stated its least power, and its parent counts with
    that: the parent's other customers are secure while the child's voltage is in the band.  All
    customers below the child stay at the fallback then, even if the power granted would allow
    more.  ``unpromised`` says why the parent cannot keep the band: no envelope is secure without
    it, so all customers below stay at the fallback, too.
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
        division.fallback_secure and unpromised is None,
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
    """Return the children whose band an operator cannot promise; all if its own is unmet."""
    if division.refusal is None:
        return dict(division.broken)
    refusal = division.refusal
    reason = refusal.detail.removeprefix(_OWN_UNMET)  # named once, at any depth
    of_all = replace(refusal, detail=f"{_OWN_UNMET}{reason}")
    return dict.fromkeys(node.children, of_all) | dict(division.broken)


def _unmet(parent: str, child: str, point: str, side: str, fault: Fault) -> UnmetContract:
    return UnmetContract(parent, child, point, side, fault.element, fault.detail)
