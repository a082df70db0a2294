"""The verdict on the contracts of a hierarchy: all networks as one AC model, attacked.

Each operator used its own network and the contracts at its boundaries.  Here an adversary chooses
every customer's power at the vertices of its envelope, and the voltage at the top within its
contracted band.  It brings every voltage, current, interface voltage, interface power and generator
of every operator as near to its limit as it can, with everything in service and after each outage
that the operator at the top names.  pandapower's own power flow confirms the worst points.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from doe_allocation.hierarchy.allocation import HierarchyAllocation
from doe_allocation.hierarchy.joint_model.attack import JointModelAttack
from doe_allocation.hierarchy.joint_model.members import Hierarchy
from doe_allocation.hierarchy.joint_model.newton import JointPowerFlow
from doe_allocation.hierarchy.joint_model.pandapower_net import joint_net
from doe_allocation.hierarchy.joint_model.quantities import KINDS
from security_check.errors import PowerFlowError

TOLERANCE = 1e-6  # parts of a quantity's scale: error of a power flow
AGREED_PU = 1e-7  # per unit: largest difference of the two power flows

Step = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class WorstQuantity:
    """The worst of one kind of quantity at one operator.

    Parameters
    ----------
    operator, kind
        The operator, and one of
        :data:`doe_allocation.hierarchy.joint_model.quantities.KINDS`.
    count
        Number of limited quantities of this kind.
    element
        The element nearest to its limit or farthest beyond.
    value, limit, unit
        Its value there, and its limit.
    excess
        Value beyond the limit, in parts of the quantity's scale; negative inside.
    outage
        The element out of service; empty with everything in service.
    injecting, withdrawing
        Numbers of customers that inject and that withdraw at that point.
    source_pu
        The voltage at the top, per unit; the mean over electrically separate parts.
    """

    operator: str
    kind: str
    count: int
    element: str
    value: float
    limit: float
    unit: str
    excess: float
    outage: str
    injecting: int
    withdrawing: int
    source_pu: float

    @property
    def holds(self) -> bool:
        """Whether it is within its limit, up to the error of a power flow."""
        return self.excess <= TOLERANCE


@dataclass(frozen=True, slots=True)
class JointVerdict:
    """The findings of the adversary.

    Parameters
    ----------
    worst
        For each operator and kind, operators from the top down.
    customers, operators
        Numbers of customers and of operators.
    outages
        The outages examined, besides everything in service.
    power_flows
        Number of AC power flows of the joint model.
    disagreement_pu
        The largest difference to pandapower's power flow at the worst points: of voltages per
        unit, of currents in parts of their ratings.
    failure
        Why the attack ended early: a point without power flow solution; empty otherwise.
    """

    worst: tuple[WorstQuantity, ...]
    customers: int
    operators: int
    outages: tuple[str, ...]
    power_flows: int
    disagreement_pu: float
    failure: str = ""

    @property
    def holds(self) -> bool:
        """Whether every quantity is within its limits, and pandapower confirms it."""
        agreed = self.disagreement_pu <= AGREED_PU
        return not self.failure and agreed and all(each.holds for each in self.worst)

    def of(self, kind: str) -> tuple[WorstQuantity, ...]:
        """Return the worst of one kind, at every operator that has it."""
        return tuple(each for each in self.worst if each.kind == kind)


def check_joint_model(
    hierarchy: Hierarchy,
    allocation: HierarchyAllocation,
    rng: np.random.Generator,
    step: Step | None = None,
) -> JointVerdict:
    """Return the verdict of the adversary on the envelopes of all operators in one AC model.

    Parameters
    ----------
    hierarchy
        The operators and their networks.
    allocation
        The envelopes of all customers, and the contracts in force.
    rng
        Draws the random vertices.  Not advanced: each case draws the same numbers, so that what
        is found does not depend on the cases before.
    step
        Called with the number of cases done: everything in service, and each outage.
    """
    joined = joint_net(hierarchy)
    contracts = {name: result.contract for name, result in allocation.results.items()}
    cases = ("", *(each.state.outage for each in hierarchy.members[0].states))
    attacks, failure = [], ""
    for done, outage in enumerate(cases, start=1):
        try:
            attack = JointModelAttack(JointPowerFlow(joined, outage), contracts, allocation)
            attack.run(copy.deepcopy(rng))
        except PowerFlowError as error:
            failure = str(error)
            break
        attacks.append(attack)
        if step is not None:
            step(done)
    return JointVerdict(
        worst=() if failure else _worst(hierarchy, attacks),
        customers=len(list(joined.customers())),
        operators=len(hierarchy.members),
        outages=cases[1:],
        power_flows=sum(attack.flows for attack in attacks),
        disagreement_pu=max((attack.disagreement() for attack in attacks), default=0.0),
        failure=failure,
    )


def _worst(hierarchy: Hierarchy, attacks: list[JointModelAttack]) -> tuple[WorstQuantity, ...]:
    """Return the worst of each kind at each operator, over all cases."""
    found: dict[tuple[str, str], WorstQuantity] = {}
    for attack in attacks:
        what = attack.quantities.items
        limited = np.isfinite(attack.excess.reshape(2, -1)).any(axis=0)
        groups: dict[tuple[str, str], list[int]] = {}
        for k in np.flatnonzero(limited).tolist():
            groups.setdefault((what[k].operator, what[k].kind), []).append(k)
        for key, members in groups.items():
            goals = np.array([*members, *(k + len(what) for k in members)])
            goal = int(goals[attack.excess[goals].argmax()])
            worst = _worst_quantity(attack, goal, len(members))
            if key not in found or found[key].excess < worst.excess:
                found[key] = worst
    order = [(m.name, kind) for m in hierarchy.members for kind in KINDS]
    return tuple(found[key] for key in order if key in found)


def _worst_quantity(attack: JointModelAttack, goal: int, count: int) -> WorstQuantity:
    quantities = attack.quantities
    k = goal % len(quantities.items)
    what = quantities.items[k]
    limit = quantities.high[k] if goal == k else quantities.low[k]
    state, power = attack.point(goal)
    return WorstQuantity(
        operator=what.operator,
        kind=what.kind,
        count=count,
        element=what.element,
        value=float(attack.value[goal]) * what.per_unit,
        limit=float(limit) * what.per_unit,
        unit=what.unit,
        excess=float(attack.excess[goal]),
        outage=attack.flow.outage,
        injecting=int((power.real > 0.0).sum()),
        withdrawing=int((power.real < 0.0).sum()),
        source_pu=float(np.mean(state.source_pu)),
    )
