"""One operating point in physical units, and as a sentence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from security_check.arrays import FloatArray

_PHASES = 3  # held voltages: more than this are given as a range in a sentence
_NAMED = 3  # elements: more deviating elements than this are counted, not named, in a sentence


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """The powers of all customers, the held voltages and the deviations at one point.

    Parameters
    ----------
    power_w, reactive_var
        Shape (c,), each connection point's active and reactive power, injection positive.
    source_pu
        Shape (h,), the held voltages at the interface; none in a model without voltages.
    deviation
        Shape (d,), deviations of passive powers, in parts of their half-bands (1 injects more),
        then of impedances, in parts of their tolerances (1 is larger).
    deviating
        The d elements that deviate; empty where not known.
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
        """Return the numbers of injecting and withdrawing customers, deviations and voltage."""
        injecting, withdrawing = int((self.power_w > 0).sum()), int((self.power_w < 0).sum())
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
        held = self._held()
        return ", ".join(parts) + (f" and {held} at the interface" if held else "")

    def _held(self) -> str:
        """Return the held voltages in words; empty where there are none."""
        if not len(self.source_pu):
            return ""
        if not np.ptp(self.source_pu) > 0:
            return f"{self.interface_voltage_pu:.5g} p.u."
        if len(self.source_pu) > _PHASES:
            return f"{self.source_pu.min():.5g} to {self.source_pu.max():.5g} p.u."
        return " / ".join(f"{voltage:.5g}" for voltage in self.source_pu) + " p.u."

    def _off(self) -> str:
        """Return the deviations in words; each by its name where there are few."""
        off = np.flatnonzero(self.deviation)
        if len(off) <= _NAMED and self.deviating:
            return ", ".join(f"{self.deviating[k]} off by {self.deviation[k]:+.3g}" for k in off)
        up = int((self.deviation > 0).sum())
        return f"{len(off)} of {len(self.deviation)} uncertain elements off ({up} upwards)"
