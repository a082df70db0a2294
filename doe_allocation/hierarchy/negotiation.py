"""Negotiation of the contract between a parent and a child, over the voltage band.

A narrow band costs the parent: its other customers must keep the voltages there.  A wide band costs
the child: its customers must be secure anywhere in it, while the parent can grant more power.
:func:`agree` asks both sides about one band after the other and collects their answers as points of
a curve; neither side discloses its network.  The default choice is max-min over both sides, each
measured against its best point of the curve.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from doe_allocation.hierarchy.interface_statement import InterfaceStatement
from doe_allocation.hierarchy.operator_level import Division, OperatorArea, OperatorLevel
from security_check.errors import Fault
from security_check.model.limits import InterfaceLimits

Band = tuple[float, float]
_SAME = 1e-9  # per unit: bands closer than this are the same; voltages are rounded to it


@dataclass(frozen=True, slots=True)
class ContractOffer:
    """The answer of a parent to a child's statement.

    Parameters
    ----------
    injection_w, withdrawal_w
        The envelope that it would grant.
    others_smallest_w
        The smallest limit of its other customers, and of its other children per unit of weight of
        their customers.  ``inf`` if there are no others.
    refusal
        Why it cannot promise the band; ``None`` if it can.
    """

    injection_w: int
    withdrawal_w: int
    others_smallest_w: float
    refusal: Fault | None = None


class OfferingSide(Protocol):
    """The parent's side of a boundary."""

    def offer(self, statement: InterfaceStatement) -> ContractOffer:
        """Return the offer to a child with this statement, under the band stated."""


class StatingSide(Protocol):
    """The child's side of a boundary."""

    def state(self, band: Band) -> InterfaceStatement:
        """Return its statement for a band."""

    def smallest_w(self, contract: InterfaceLimits) -> float | None:
        """Return its customers' smallest limit under a contract; ``None`` if not secure."""


@dataclass(frozen=True, slots=True)
class ContractPoint:
    """One contract on the curve; secure on both sides where ``refusal`` is ``None``.

    Parameters
    ----------
    contract
        Band, envelope and reactive range.
    child_smallest_w, others_smallest_w
        The smallest limit of a customer below the child, and of the parent's others, watts; zero
        where one side refuses.
    refusal
        The side that refuses, and why.
    """

    contract: InterfaceLimits
    child_smallest_w: float
    others_smallest_w: float
    refusal: Fault | None = None

    @property
    def band(self) -> Band:
        """The voltage band."""
        return self.contract.voltage_min_pu, self.contract.voltage_max_pu


@dataclass(frozen=True, slots=True)
class ContractCurve:
    """All contracts examined, and the default choice.

    Parameters
    ----------
    points
        In the order of width, then of the lower end of the band.
    chosen
        The default choice; ``None`` if every band is refused by one side.
    """

    points: tuple[ContractPoint, ...]
    chosen: ContractPoint | None

    @property
    def front(self) -> tuple[ContractPoint, ...]:
        """The points at which neither side can have more unless the other has less (Pareto).

        Ordered by the child's smallest limit.
        """
        open_ = [p for p in self.points if p.refusal is None]
        best = [
            p
            for p in open_
            if not any(
                q.child_smallest_w >= p.child_smallest_w
                and q.others_smallest_w >= p.others_smallest_w
                and (q.child_smallest_w, q.others_smallest_w)
                != (p.child_smallest_w, p.others_smallest_w)
                for q in open_
            )
        ]
        return tuple(sorted(best, key=lambda p: (p.child_smallest_w, -p.others_smallest_w)))


def agree(
    above: OfferingSide, below: StatingSide, bands: Iterable[Band], refinements: int = 1
) -> ContractCurve:
    """Return the curve of contracts between a parent and a child, and the default choice.

    Parameters
    ----------
    above, below
        The two sides.
    bands
        Voltage bands to examine, for example :func:`bands_within`.
    refinements
        How often bands around the choice are examined, half as far apart every time.

    Raises
    ------
    ValueError
        When no band is given.
    """
    points = {band: _contract_point(above, below, band) for band in dict.fromkeys(bands)}
    if not points:
        raise ValueError("no voltage band is given to agree on")
    step = _step_of(points)
    for _ in range(refinements):
        chosen = _chosen(points.values())
        step *= 0.5
        if chosen is None or step <= _SAME:
            break
        for band in _around(chosen.band, step, _outer(points)):
            if band not in points:
                points[band] = _contract_point(above, below, band)
    ordered = sorted(points.values(), key=lambda p: (round(p.band[1] - p.band[0], 9), p.band[0]))
    return ContractCurve(tuple(ordered), _chosen(ordered))


def bands_within(outer: Band, steps: int = 4) -> list[Band]:
    """Return the bands whose ends are among ``steps + 1`` voltages evenly within a band."""
    ends = np.round(np.linspace(*outer, steps + 1), 9).tolist()
    return list(itertools.combinations(ends, 2))


def _contract_point(above: OfferingSide, below: StatingSide, band: Band) -> ContractPoint:
    statement = below.state(band)
    floor = statement.contract(statement.least_injection_w, statement.least_withdrawal_w)
    if statement.refusal is not None:
        return ContractPoint(floor, 0.0, 0.0, _of_side("child", statement.refusal))
    offer = above.offer(statement)
    if offer.refusal is not None:
        return ContractPoint(floor, 0.0, 0.0, _of_side("parent", offer.refusal))
    contract = statement.contract(offer.injection_w, offer.withdrawal_w)
    smallest = below.smallest_w(contract)
    if smallest is None:
        detail = "it is not secure within the envelope granted"
        return ContractPoint(contract, 0.0, 0.0, Fault("child", detail))
    return ContractPoint(contract, smallest, offer.others_smallest_w)


def _of_side(side: str, fault: Fault) -> Fault:
    return Fault(side, str(fault))


def _chosen(points: Iterable[ContractPoint]) -> ContractPoint | None:
    """Return the max-min point over both sides, each in parts of its best value."""
    open_ = [p for p in points if p.refusal is None]
    if not open_:
        return None
    most = max(p.child_smallest_w for p in open_), max(p.others_smallest_w for p in open_)

    def satisfied(point: ContractPoint) -> tuple[float, ...]:
        sides = zip((point.child_smallest_w, point.others_smallest_w), most, strict=True)
        parts = sorted(1.0 if own >= best else own / best for own, best in sides)
        # Of equally good bands, the widest binds the parent least.
        return (*(round(part, 9) for part in parts), point.band[1] - point.band[0])

    return max(open_, key=satisfied)


def _outer(bands: Iterable[Band]) -> Band:
    ends = list(bands)
    return min(low for low, _ in ends), max(high for _, high in ends)


def _step_of(bands: Iterable[Band]) -> float:
    ends = np.unique(np.array(list(bands)))
    return float(np.diff(ends).min()) if len(ends) > 1 else 0.0


def _around(band: Band, step: float, outer: Band) -> list[Band]:
    """Return bands with one or both ends moved by a step, inside the outer band."""
    moves = itertools.product((-step, 0.0, step), repeat=2)
    found = [(round(band[0] + a, 9), round(band[1] + b, 9)) for a, b in moves]
    return [(low, high) for low, high in found if outer[0] <= low < high <= outer[1]]


class ParentSide:
    """A parent's side: its own network and contract, and its other children's statements.

    Parameters
    ----------
    area
        Its own network.
    contract
        In force at its own interface.
    point
        The child's connection point.
    others
        Statements of the other children, by connection point.
    """

    def __init__(
        self,
        area: OperatorArea,
        contract: InterfaceLimits,
        point: str,
        others: Mapping[str, InterfaceStatement],
    ) -> None:
        self._area = area
        self._contract = contract
        self._point = point
        self._others = {at: each for at, each in others.items() if at != point}

    def offer(self, statement: InterfaceStatement) -> ContractOffer:
        """Return the offer to a child with this statement, under the band stated."""
        below = {**self._others, self._point: statement}
        level = OperatorLevel(self._area, below)
        division = level.divide(self._contract)
        # An offer must also keep the promises to the other children.
        unkept = [*division.broken.values(), *level.beyond_capacity().values()]
        refusal = division.refusal or next(iter(unkept), None)
        granted = next(e for e in division.envelopes if e.connection_point == self._point)
        return ContractOffer(
            granted.injection_limit_w,
            granted.withdrawal_limit_w,
            smallest_w(division, self._others, lambda point: point != self._point),
            refusal,
        )


class ChildSide:
    """A child's side: its own network, and its own children's statements.

    Parameters
    ----------
    area
        Its own network.
    below
        Statements of its children, by connection point.
    reactive_var
        The reactive range that it states, var; computed for each band where not given.
    """

    def __init__(
        self,
        area: OperatorArea,
        below: Mapping[str, InterfaceStatement],
        reactive_var: tuple[int, int] | None = None,
    ) -> None:
        self._level = OperatorLevel(area, below)
        self._below = below
        self._reactive_var = reactive_var

    def state(self, band: Band) -> InterfaceStatement:
        """Return its statement for a band."""
        return self._level.state(band, self._reactive_var)

    def smallest_w(self, contract: InterfaceLimits) -> float | None:
        """Return its customers' smallest limit under a contract; ``None`` if not secure."""
        division = self._level.divide(contract)
        if division.refusal is not None or division.broken:
            return None
        return smallest_w(division, self._below, lambda _: True)


def smallest_w(
    division: Division, below: Mapping[str, InterfaceStatement], counts: Callable[[str], bool]
) -> float:
    """Return the smallest limit at points that count; a child's per unit of customers' weight.

    ``inf`` if no point counts.
    """
    found = [np.inf]
    for each in division.envelopes:
        if not counts(each.connection_point):
            continue
        limits = np.array([each.injection_limit_w, each.withdrawal_limit_w], dtype=float)
        if each.connection_point in below:
            statement = below[each.connection_point]
            limits -= statement.idle_injection_w, statement.idle_withdrawal_w
            limits = np.maximum(limits / statement.weights, 0.0)
        found.append(float(limits.min()))
    return float(min(found))
