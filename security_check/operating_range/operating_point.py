"""A point of the envelopes in words that people use."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from security_check.arrays import FloatArray

_NAMED = 3  # more elements than these are only counted in a sentence


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """One point as people know it: what everyone does and what nobody can know.

    Parameters
    ----------
    power_w, reactive_var
        Shape (c,), each connection point's active and reactive power, injection positive.
    source_pu
        Shape (h,), the held voltages at the interface.
    deviation
        Shape (d,), how far what nobody knows exactly is off: powers of what does not trade, in
        parts of their half-bands (1 injects more), then impedances, in parts of their tolerances
        (1 is larger).
    deviating
        The d elements that deviate; empty where nobody has named them.
    """

    power_w: FloatArray
    reactive_var: FloatArray
    source_pu: FloatArray
    deviation: FloatArray
    deviating: tuple[str, ...] = ()

    @property
    def interface_voltage_pu(self) -> float:
        """The mean of the held voltages."""
        return float(self.source_pu.mean())

    def __str__(self) -> str:
        """Return who injects, who withdraws, what is off and at which interface voltage."""
        injecting, withdrawing = int((self.power_w > 0).sum()), int((self.power_w < 0).sum())
        held = f"{self.interface_voltage_pu:.5g} p.u."
        if np.ptp(self.source_pu) > 0:
            held = " / ".join(f"{voltage:.5g}" for voltage in self.source_pu) + " p.u."
        parts = [
            f"{injecting} of {len(self.power_w)} connection points injecting",
            f"{withdrawing} withdrawing",
        ]
        if self.reactive_var.any():
            low, high = self.reactive_var.min() / 1e3, self.reactive_var.max() / 1e3
            same = high - low < 5e-4
            parts.append(f"{low:+.4g}{'' if same else f' to {high:+.4g}'} kvar at each")
        if self.deviation.any():
            parts.append(self._off())
        return f"{', '.join(parts)} and {held} at the interface"

    def _off(self) -> str:
        """Return what is off, and how far, in words; those of few by their names."""
        off = np.flatnonzero(self.deviation)
        if len(off) <= _NAMED and self.deviating:
            return ", ".join(f"{self.deviating[k]} off by {self.deviation[k]:+.3g}" for k in off)
        up = int((self.deviation > 0).sum())
        return f"{len(off)} of {len(self.deviation)} uncertain elements off ({up} upwards)"
