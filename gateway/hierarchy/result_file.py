"""The result of ``hierarchy`` as a file: contracts, envelopes, unmet contracts, joined check."""

from __future__ import annotations

from pydantic import Field

from doe_allocation.hierarchy.allocation import HierarchyAllocation, OperatorResult, UnmetContract
from doe_allocation.hierarchy.joint_model.check import JoinedVerdict, Worst
from gateway.formats.envelope_file import EnvelopeRecord
from gateway.formats.records import Record, Watts
from security_check.checking.verdict import Explanation
from security_check.model.limits import InterfaceLimits


class ContractRecord(Record):
    """What an operator and its parent agreed on; what is ``null`` has no limit."""

    voltage_min_pu: float
    voltage_max_pu: float
    injection_limit_w: Watts | None
    withdrawal_limit_w: Watts | None
    reactive_min_var: int | None
    reactive_max_var: int | None

    @classmethod
    def of(cls, contract: InterfaceLimits) -> ContractRecord:
        """Return a contract in the form of the file."""
        return cls(**{name: getattr(contract, name) for name in cls.model_fields})


class AtLimitRecord(Record):
    """An element at its limit, what it reaches of what, and the worst case behind it."""

    element: str
    value: float
    limit: float
    unit: str
    loading: float
    detail: str

    @classmethod
    def of(cls, found: Explanation) -> AtLimitRecord:
        """Return an element at its limit in the form of the file."""
        verdict = found.verdict
        return cls(
            element=verdict.element,
            value=verdict.value,
            limit=verdict.limit,
            unit=verdict.unit,
            loading=verdict.loading,
            detail=verdict.worst_case,
        )


class ChildRecord(EnvelopeRecord):
    """What a child is granted at its interface, a connection point of its parent."""

    operator: str


class OperatorRecord(Record):
    """One operator: its contract, its customers' envelopes, what its children are granted."""

    operator: str
    parent: str | None
    connection_point: str | None
    met: bool
    contract: ContractRecord
    customers: list[EnvelopeRecord]
    children: list[ChildRecord]
    binding: list[AtLimitRecord]

    @classmethod
    def of(cls, result: OperatorResult) -> OperatorRecord:
        """Return what the allocation found for one operator in the form of the file."""
        own = [EnvelopeRecord.from_fields(envelope) for envelope in result.envelopes]
        return cls(
            operator=result.operator,
            parent=result.parent or None,
            connection_point=result.point or None,
            met=result.check is not None,
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
        return cls(
            parent=unmet.parent,
            connection_point=unmet.point,
            child=unmet.child,
            side=unmet.side,
            element=unmet.element,
            detail=str(unmet),
        )


class WorstRecord(Record):
    """The quantity of one kind, at one operator, that the adversary brought nearest its limit."""

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
    def of(cls, worst: Worst) -> WorstRecord:
        """Return what was found in the form of the file."""
        return cls(
            operator=worst.operator,
            kind=worst.kind,
            count=worst.count,
            holds=worst.holds,
            element=worst.element,
            value=worst.value,
            limit=worst.limit,
            unit=worst.unit,
            beyond=worst.excess,
            outage=worst.outage,
            injecting=worst.injecting,
            withdrawing=worst.withdrawing,
            top_voltage_pu=worst.source_pu,
        )


class JoinedRecord(Record):
    """What the adversary found in the joint AC model of all networks."""

    holds: bool
    customers: int
    outages: list[str]
    power_flows: int
    disagreement_pu: float
    failure: str
    worst: list[WorstRecord]

    @classmethod
    def of(cls, verdict: JoinedVerdict) -> JoinedRecord:
        """Return a verdict in the form of the file."""
        return cls(
            holds=verdict.holds,
            customers=verdict.customers,
            outages=list(verdict.outages),
            power_flows=verdict.power_flows,
            disagreement_pu=verdict.disagreement_pu,
            failure=verdict.failure,
            worst=[WorstRecord.of(worst) for worst in verdict.worst],
        )


class HierarchyResult(Record):
    """What ``hierarchy`` writes: operators from the top down."""

    operators: list[OperatorRecord]
    unmet: list[UnmetRecord] = Field(default_factory=list)
    joined: JoinedRecord | None = None

    @property
    def holds(self) -> bool:
        """Whether every contract is kept, and the joint model says nothing else."""
        return not self.unmet and (self.joined is None or self.joined.holds)


def hierarchy_result(
    allocation: HierarchyAllocation, verdict: JoinedVerdict | None
) -> HierarchyResult:
    """Return an allocation of all levels, and the check of it, in the form of the file."""
    return HierarchyResult(
        operators=[OperatorRecord.of(result) for result in allocation.results.values()],
        unmet=[UnmetRecord.of(unmet) for unmet in allocation.unmet],
        joined=None if verdict is None else JoinedRecord.of(verdict),
    )
