"""A batch of solved operating points: powers, voltages and currents at all ports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from security_check.arrays import ComplexArray, FloatArray, IndexArray


@dataclass(frozen=True, slots=True)
class OperatingPoints:
    """A batch of solved operating points; B of them.

    Parameters
    ----------
    power_pu
        Shape (J, B), complex powers requested at the ports; inverters may inject other powers.
    source_pu
        Shape (h, B), magnitudes of the held voltages.
    voltage
        Shape (J, B), complex voltages across the ports.
    current
        Shape (J, B), complex injected currents.
    """

    power_pu: ComplexArray
    source_pu: FloatArray
    voltage: ComplexArray
    current: ComplexArray

    def take(self, columns: IndexArray) -> Self:
        """Return the points named by ``columns``, in that order; a column may repeat."""
        return type(self)(
            self.power_pu[:, columns],
            self.source_pu[:, columns],
            self.voltage[:, columns],
            self.current[:, columns],
        )
