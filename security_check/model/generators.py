"""Generators that hold the voltage at their ports, and their shares of the imbalance.

A generator's magnitude of voltage is given and its reactive power follows; its active power is a
schedule plus its share of the imbalance (losses and the customers' power).  The reference, the
node of the interface, takes the rest (distributed slack).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from security_check.arrays import FloatArray
from security_check.errors import Fault


@dataclass(frozen=True, slots=True)
class Generators:
    """The voltage-controlled generators of a network; g of them.

    Parameters
    ----------
    names
        Names, for example ``"gen:3"``; those that share a node are one, ``"gen:3+gen:4"``.
    ports
        Shape (g,), the port of each: between a node and ground, no two at one node.
    power_pu
        Shape (g,), scheduled active power, injection positive.
    voltage_pu
        Shape (g,), the magnitude held.
    participation
        Shape (g,), >= 0: the share of the imbalance.
    reference_participation
        The share that the interface's node takes; all shares add up to 1.
    power_limits_pu, reactive_limits_pu
        Shape (g, 2), lowest and highest active and reactive power; infinite where there is none.
    """

    names: tuple[str, ...]
    ports: npt.NDArray[np.int64]
    power_pu: FloatArray
    voltage_pu: FloatArray
    participation: FloatArray
    reference_participation: float
    power_limits_pu: FloatArray
    reactive_limits_pu: FloatArray

    @property
    def shares_imbalance(self) -> bool:
        """Whether some generator takes part of the imbalance."""
        return bool((self.participation > 0.0).any())

    def faults(self) -> list[Fault]:
        """Return the faults of their data, each with its generator."""
        faults = [
            Fault(self.names[g], f"its voltage set point is {self.voltage_pu[g]:g} p.u.")
            for g in np.flatnonzero(~((self.voltage_pu > 0.0) & (self.voltage_pu < 2.0)))
        ]
        faults += [
            Fault(self.names[g], f"its scheduled power is {self.power_pu[g]} p.u.")
            for g in np.flatnonzero(~np.isfinite(self.power_pu))
        ]
        for limits, what in (
            (self.power_limits_pu, "power"),
            (self.reactive_limits_pu, "reactive"),
        ):
            faults += [
                Fault(
                    self.names[g],
                    f"its {what} limits are {limits[g, 0]:g} to {limits[g, 1]:g} p.u.: "
                    "the first must be the smaller one",
                )
                for g in np.flatnonzero(~(limits[:, 0] <= limits[:, 1]))
            ]
        return faults + self._participation_faults()

    def _participation_faults(self) -> list[Fault]:
        shares = np.append(self.participation, self.reference_participation)
        names = (*self.names, "interface")
        faults = [
            Fault(names[g], f"its participation is {shares[g]:g}; it must be a number >= 0")
            for g in np.flatnonzero(~(np.isfinite(shares) & (shares >= 0.0)))
        ]
        if not faults and abs(shares.sum() - 1.0) > 1e-9:
            detail = f"the participation of all generators adds up to {shares.sum():g}, not 1"
            faults.append(Fault("interface", detail))
        return faults
