"""The branches of all configurations of a network, with the effects of switches and taps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from doe_allocation.reconfiguration.pi_branches import Branches, NotTwoEndedError
from security_check.arrays import ComplexArray, IndexArray
from security_check.model.element_ids import AUXILIARY, kind_of
from security_check.model.network import Network


@dataclass(frozen=True, slots=True)
class TapChanger:
    """A transformer whose tap may be moved.

    Parameters
    ----------
    branch
        Its index among the branches.
    positions
        The positions of the tap.
    variants
        The branch at each of them.
    """

    branch: int
    positions: tuple[int, ...]
    variants: Branches


@dataclass(frozen=True, slots=True)
class SwitchedBranches:
    """The branches of all configurations of a network; E of them, S switchable.

    Parameters
    ----------
    network
        With everything closed; its nodes are those of the branches.
    sources
        The nodes at which the voltage is held in every configuration.
    branches
        All of them; a switch between buses has no impedance.
    switch
        Shape (E,), the index of each branch among the switchable ones; -1 if always closed.
    energised_end
        Shape (E,), which end stays connected where the branch is open: 0 its start, 1 its end,
        -1 neither.
    shunts
        Shape (n,), complex admittances at the nodes.
    changers
        In the order of a configuration's taps.
    """

    network: Network
    sources: IndexArray
    branches: Branches
    switch: IndexArray
    energised_end: IndexArray
    shunts: ComplexArray
    changers: tuple[TapChanger, ...]

    def at(self, taps: Sequence[int]) -> Branches:
        """Return the branches with the taps at these positions."""
        count = len(self.branches.elements)
        rows, every = np.arange(count), self.branches
        for changer, position in zip(self.changers, taps, strict=True):
            rows[changer.branch] = len(every.elements) + changer.positions.index(position)
            every = every.joined(changer.variants)
        return every.take(rows)


def check_radial(switched: SwitchedBranches) -> None:
    """Check that the equations of radial networks hold for these.

    Raises
    ------
    NotTwoEndedError
        When they do not hold; the message is a sentence.
    """
    network = switched.network
    if network.inverters is not None:
        raise NotTwoEndedError("its inverters respond to voltages")
    if network.generators is not None or network.held != 1:
        raise NotTwoEndedError("it has more than one voltage that is held")
    impedance = [switched.branches.impedance, *(c.variants.impedance for c in switched.changers)]
    every = np.concatenate(impedance)
    if (every.real < 0.0).any() or (every.imag < 0.0).any():
        raise NotTwoEndedError("a branch has a negative resistance or reactance")


def without_stubs(switched: SwitchedBranches) -> tuple[SwitchedBranches, IndexArray]:
    """Replace fixed branches to auxiliary nodes by shunts; return the nodes that are left, too."""
    names = switched.network.nodes
    auxiliary = {k for k, name in enumerate(names) if kind_of(name) == AUXILIARY}
    branches, shunts = switched.branches, switched.shunts.copy()
    gone = []
    for at_start, near, far in (
        (True, branches.start, branches.end),
        (False, branches.end, branches.start),
    ):
        seen = branches.open_shunt(at_start)
        for k, node in enumerate(far.tolist()):
            alone = int((branches.start == node).sum() + (branches.end == node).sum()) == 1
            if node in auxiliary and alone:
                shunts[near[k]] += seen[k]
                gone.append(k)
    kept = np.setdiff1d(np.arange(len(branches.elements)), gone)
    ends = np.concatenate([branches.start[kept], branches.end[kept]])
    moved = {int(k): i for i, k in enumerate(kept)}
    if any(changer.branch not in moved for changer in switched.changers):
        raise NotTwoEndedError("a transformer with taps is open at one end")
    changers = tuple(
        TapChanger(moved[each.branch], each.positions, each.variants) for each in switched.changers
    )
    left = SwitchedBranches(
        switched.network,
        switched.sources,
        branches.take(kept),
        switched.switch[kept],
        switched.energised_end[kept],
        shunts,
        changers,
    )
    return left, np.unique(ends)
