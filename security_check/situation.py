"""A point of the envelopes in words that people use."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from security_check.network import FloatArray


@dataclass(frozen=True, slots=True)
class Situation:
    """One point as people know it: what everyone does and what nobody can know.

    Parameters
    ----------
    power_w, reactive_var
        Shape (c,), each connection point's active and reactive power, injection positive.
    source_pu
        Shape (h,), the held voltages at the interface.
    deviation
        Shape (d,), how far what does not trade is off its forecast.
    """

    power_w: FloatArray
    reactive_var: FloatArray
    source_pu: FloatArray
    deviation: FloatArray

    @property
    def interface_voltage_pu(self) -> float:
        """The mean of the held voltages."""
        return float(self.source_pu.mean())

    def __str__(self) -> str:
        """Return who injects, who withdraws and at which interface voltage, in words."""
        injecting, withdrawing = int((self.power_w > 0).sum()), int((self.power_w < 0).sum())
        held = f"{self.interface_voltage_pu:.5g} p.u."
        if np.ptp(self.source_pu) > 0:
            held = " / ".join(f"{voltage:.5g}" for voltage in self.source_pu) + " p.u."
        return (
            f"{injecting} of {len(self.power_w)} connection points injecting, "
            f"{withdrawing} withdrawing and {held} at the interface"
        )
