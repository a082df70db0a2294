"""A lossless linear network: the flow of each branch is linear in what buses inject.

Flows follow from power transfer distribution factors (PTDF), given or made of reactances.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from security_check.arrays import FloatArray
from security_check.errors import Fault, NetworkFaults


class ReactiveBranch(NamedTuple):
    """A branch by its reactance, in any unit that all branches share."""

    name: str
    from_bus: str
    to_bus: str
    reactance: float


@dataclass(frozen=True, slots=True)
class LinearNetwork:
    """Branches whose flows are ``ptdf @ injections``, within two-sided limits.

    Parameters
    ----------
    buses
        Names of the n buses.
    branches
        Names of the l branches.
    ptdf
        Shape (l, n), flow of each branch per unit injected at each bus and taken out at the slack
        bus, whose column is zero.
    lower_w, upper_w
        Shape (l,), least and largest flow in watts, lower_w < upper_w.

    Raises
    ------
    NetworkFaults
        Names buses or branches that are there twice, and limits that are not in order.
    """

    buses: tuple[str, ...]
    branches: tuple[str, ...]
    ptdf: FloatArray
    lower_w: FloatArray
    upper_w: FloatArray

    def __post_init__(self) -> None:
        faults = [*_twice("buses", self.buses), *_twice("branches", self.branches)]
        faults += [
            Fault(name, f"its limits {lower:g} W and {upper:g} W leave no room")
            for name, lower, upper in zip(self.branches, self.lower_w, self.upper_w, strict=True)
            if not lower < upper
        ]
        if self.ptdf.shape != (len(self.branches), len(self.buses)):
            detail = f"{len(self.branches)} branches and {len(self.buses)} buses"
            faults.append(Fault("ptdf", f"its shape is {self.ptdf.shape}, but there are {detail}"))
        if faults:
            raise NetworkFaults(faults)

    @classmethod
    def of_reactances(
        cls,
        buses: Sequence[str],
        slack_bus: str,
        branches: Sequence[ReactiveBranch],
        lower_w: FloatArray,
        upper_w: FloatArray,
    ) -> LinearNetwork:
        """Return the network of a lossless ("DC") power flow.

        Raises
        ------
        NetworkFaults
            Names what the constructor names, unknown buses, reactances that are zero, and buses
            without a way to the slack bus.
        """
        index = {bus: k for k, bus in enumerate(buses)}
        faults = [*_twice("buses", buses), *_twice("branches", [each.name for each in branches])]
        if slack_bus not in index:
            faults.append(Fault("slack_bus", f"there is no bus {slack_bus}"))
        for each in branches:
            ends = (each.from_bus, each.to_bus)
            faults += [
                Fault(each.name, f"there is no bus {end}") for end in ends if end not in index
            ]
            if each.from_bus == each.to_bus:
                faults.append(Fault(each.name, f"both of its ends are bus {each.to_bus}"))
            if not np.isfinite(each.reactance) or each.reactance == 0.0:
                faults.append(Fault(each.name, f"its reactance is {each.reactance:g}"))
        if not faults:
            without = _without_way(buses, slack_bus, branches)
            faults += [Fault(bus, "no branch leads from it to the slack bus") for bus in without]
        if faults:
            raise NetworkFaults(faults)
        incidence = np.zeros((len(branches), len(buses)))
        for k, each in enumerate(branches):
            incidence[k, index[each.from_bus]], incidence[k, index[each.to_bus]] = 1.0, -1.0
        flows = incidence / np.array([[each.reactance] for each in branches])
        others = np.arange(len(buses)) != index[slack_bus]
        susceptance = (incidence.T @ flows)[np.ix_(others, others)]
        ptdf = np.zeros_like(flows)
        ptdf[:, others] = np.linalg.solve(susceptance, flows[:, others].T).T
        # In a tree each entry is -1, 0 or 1: what differs by rounding only is that number.
        near = np.abs(ptdf - np.round(ptdf)) < 1e-9
        ptdf[near] = np.round(ptdf[near]) + 0.0
        names = tuple(each.name for each in branches)
        return cls(tuple(buses), names, ptdf, lower_w, upper_w)


def _twice(kind: str, names: Sequence[str]) -> Iterator[Fault]:
    for k, name in enumerate(names):
        if name in names[:k]:
            yield Fault(name, f"there are two {kind} of this name")


def _without_way(
    buses: Sequence[str], slack_bus: str, branches: Sequence[ReactiveBranch]
) -> list[str]:
    """Return the buses that no path of branches joins to the slack bus."""
    near: dict[str, set[str]] = {bus: set() for bus in buses}
    for each in branches:
        near[each.from_bus].add(each.to_bus)
        near[each.to_bus].add(each.from_bus)
    reached, waiting = {slack_bus}, [slack_bus]
    while waiting:
        new = near[waiting.pop()] - reached
        reached |= new
        waiting += new
    return [bus for bus in buses if bus not in reached]
