"""The result of ``hierarchy`` as a file: contracts, envelopes, unmet contracts, joint check."""

from __future__ import annotations

from pydantic import Field

from doe_allocation.hierarchy.allocation import HierarchyAllocation, OperatorResult, UnmetContract
from doe_allocation.hierarchy.joint_model.check import JointVerdict, WorstQuantity
from gateway.formats.envelope_file import EnvelopeRecord, IntervalStatus
from gateway.formats.records import Record, Watts
from security_check.checking.verdict import Explanation
from security_check.model.limits import InterfaceLimits


class ContractRecord(Record):
    """The contract of an operator with its parent; ``null`` means no limit."""

    voltage_min_pu: float
    voltage_max_pu: float
    injection_limit_w: Watts | None
    withdrawal_limit_w: Watts | None
    reactive_min_var: int | None
    reactive_max_var: int | None

    @classmethod
    def of(cls, contract: InterfaceLimits) -> ContractRecord:
        """Return a contract in the form of the file."""
        return cls.from_fields(contract)


class AtLimitRecord(Record):
    """An element at its limit: its worst value, the limit, and the worst case as a sentence."""

    element: str
    value: float
    limit: float
    unit: str
    loading: float
    detail: str

    @classmethod
    def of(cls, found: Explanation) -> AtLimitRecord:
        """Return an element at its limit in the form of the file."""
        return cls.from_fields(found.verdict, detail=found.verdict.worst_case)


class ChildRecord(EnvelopeRecord):
    """The envelope of a child's interface, a connection point of its parent."""

    operator: str


class OperatorRecord(Record):
    """One operator: its contract, and the envelopes of its customers and its children.

    ``status`` is ``fallback`` where the contract is unmet and the fallback envelopes are secure,
    ``none`` where they are not: then there are no envelopes.
    """

    operator: str
    parent: str | None
    connection_point: str | None
    met: bool
    status: IntervalStatus
    contract: ContractRecord
    customers: list[EnvelopeRecord]
    children: list[ChildRecord]
    binding: list[AtLimitRecord]

    @classmethod
    def of(cls, result: OperatorResult) -> OperatorRecord:
        """Return the result of one operator in the form of the file."""
        status = _status(result)
        published = () if status is IntervalStatus.NONE else result.envelopes
        own = [EnvelopeRecord.from_fields(envelope) for envelope in published]
        return cls.from_fields(
            result,
            parent=result.parent or None,
            connection_point=result.point or None,
            met=result.check is not None,
            status=status,
            contract=ContractRecord.of(result.contract),
            customers=[each for each in own if each.connection_point not in result.children],
            children=[
                ChildRecord(**each.model_dump(), operator=result.children[each.connection_point])
                for each in own
                if each.connection_point in result.children
            ],
            binding=[
                AtLimitRecord.of(found)
                for found in (() if result.check is None else result.check.explanations())
            ],
        )


def _status(result: OperatorResult) -> IntervalStatus:
    if result.check is not None:
        return IntervalStatus.SECURE
    return IntervalStatus.FALLBACK if result.fallback_secure else IntervalStatus.NONE


class UnmetRecord(Record):
    """A contract that one side cannot keep; ``detail`` is a sentence with both ends."""

    parent: str
    connection_point: str
    child: str
    side: str
    element: str
    detail: str

    @classmethod
    def of(cls, unmet: UnmetContract) -> UnmetRecord:
        """Return an unmet contract in the form of the file."""
        return cls.from_fields(unmet, connection_point=unmet.point, detail=str(unmet))


class WorstRecord(Record):
    """The quantity nearest to its limit, of one operator and one kind, in the joint model."""

    operator: str
    kind: str
    count: int
    holds: bool
    element: str
    value: float
    limit: float
    unit: str
    beyond: float
    outage: str
    injecting: int
    withdrawing: int
    top_voltage_pu: float

    @classmethod
    def of(cls, worst: WorstQuantity) -> WorstRecord:
        """Return a quantity in the form of the file."""
        return cls.from_fields(worst, beyond=worst.excess, top_voltage_pu=worst.source_pu)


class JointModelRecord(Record):
    """The verdict of the adversary in the joint AC model of all networks."""

    holds: bool
    customers: int
    outages: list[str]
    power_flows: int
    disagreement_pu: float
    failure: str
    worst: list[WorstRecord]

    @classmethod
    def of(cls, verdict: JointVerdict) -> JointModelRecord:
        """Return a verdict in the form of the file."""
        return cls.from_fields(
            verdict,
            outages=list(verdict.outages),
            worst=[WorstRecord.of(worst) for worst in verdict.worst],
        )


class HierarchyResult(Record):
    """The file that ``hierarchy`` writes: operators from the top down."""

    operators: list[OperatorRecord]
    unmet: list[UnmetRecord] = Field(default_factory=list)
    joined: JointModelRecord | None = None

    @property
    def holds(self) -> bool:
        """Whether every contract is kept, and the joint model, if used, is secure."""
        return not self.unmet and (self.joined is None or self.joined.holds)


def hierarchy_result(
    allocation: HierarchyAllocation, verdict: JointVerdict | None
) -> HierarchyResult:
    """Return the allocation of a hierarchy, and its joint check, in the form of the file."""
    return HierarchyResult(
        operators=[OperatorRecord.of(result) for result in allocation.results.values()],
        unmet=[UnmetRecord.of(unmet) for unmet in allocation.unmet],
        joined=None if verdict is None else JointModelRecord.of(verdict),
    )
