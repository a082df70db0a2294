"""The result of ``contract``: the contracts that a parent and a child could agree on."""

from __future__ import annotations

import math

from doe_allocation.hierarchy.allocation import sides_of
from doe_allocation.hierarchy.joint_model.members import Boundary, Hierarchy
from doe_allocation.hierarchy.negotiation import ContractCurve, ContractPoint, agree, bands_within
from gateway.formats.faults import InputFaults
from gateway.formats.records import Record
from gateway.hierarchy.result_file import ContractRecord
from security_check.errors import Fault

Band = tuple[float, float]


class OfferRecord(Record):
    """One contract; ``refused_by`` names the operator that cannot keep it."""

    contract: ContractRecord
    child_smallest_w: float
    others_smallest_w: float | None
    best: bool
    chosen: bool
    refused_by: str | None
    detail: str


class CurveRecord(Record):
    """The contracts that a parent and a child could agree on, the narrowest band first."""

    parent: str
    connection_point: str
    child: str
    offers: list[OfferRecord]


def boundary_of(hierarchy: Hierarchy, child: str) -> Boundary:
    """Return the boundary above an operator.

    Raises
    ------
    InputFaults
        When there is no such operator, or it is the one at the top.
    """
    boundary = hierarchy.parent_of(child)
    if boundary is None:
        children = ", ".join(b.child for b in hierarchy.boundaries)
        detail = f"it is not a child of another operator; there is {children or 'none'}"
        raise InputFaults(hierarchy.source, [Fault(child, detail)])
    return boundary


def contract_curve(
    hierarchy: Hierarchy, boundary: Boundary, within: Band | None, steps: int
) -> CurveRecord:
    """Return the contracts that the two sides of a boundary could agree on.

    Parameters
    ----------
    hierarchy
        The operators; the parent's own contract is that of the allocation.
    boundary
        The boundary between the two operators.
    within
        The band that contains all bands, per unit; the parent's voltage limits where not given.
    steps
        Number of equal steps of ``within`` at which bands begin and end.
    """
    limits = hierarchy.member(boundary.parent).voltage_limits
    allocation = hierarchy.allocate()
    above, below = sides_of(
        hierarchy.operator(boundary.parent),
        allocation.results[boundary.parent].contract,
        boundary.connection_point,
    )
    outer = within or (limits.minimum_pu, limits.maximum_pu)
    curve = agree(above, below, bands_within(outer, steps))
    return _record(boundary, curve)


def _record(boundary: Boundary, curve: ContractCurve) -> CurveRecord:
    best = set(map(id, curve.front))

    def offer_record(point: ContractPoint) -> OfferRecord:
        refusal = point.refusal
        names = {"child": boundary.child, "parent": boundary.parent}
        return OfferRecord.from_fields(
            point,
            contract=ContractRecord.of(point.contract),
            others_smallest_w=point.others_smallest_w
            if math.isfinite(point.others_smallest_w)
            else None,
            best=id(point) in best,
            chosen=point is curve.chosen,
            refused_by=None if refusal is None else names[refusal.element],
            detail="" if refusal is None else refusal.detail,
        )

    return CurveRecord(
        parent=boundary.parent,
        connection_point=boundary.connection_point,
        child=boundary.child,
        offers=[offer_record(point) for point in curve.points],
    )
