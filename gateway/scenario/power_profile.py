"""What those who do not trade do over time: a few columns of numbers, and who follows which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from security_check.arrays import BoolArray, ComplexArray, FloatArray
from security_check.model.network_elements import PassiveElements


@dataclass(frozen=True, slots=True)
class PowerProfile:
    """The power expected of p passive elements in T intervals, from m columns of numbers.

    Parameters
    ----------
    values
        Shape (T, m), the columns.
    fixed_pu
        Shape (p,), complex, per unit, injection positive: what follows no column.
    weights
        Shape (p, m), complex: elements do ``fixed_pu + weights @ values[t]``.
    half_band
        Shape (p, m), real: ``half_band @ values[t]`` is how far active powers may be off.
    bounded
        Shape (p,), who has a band.
    """

    values: FloatArray
    fixed_pu: ComplexArray
    weights: sp.csr_array
    half_band: sp.csr_array
    bounded: BoolArray

    def power_pu(self, interval: int) -> ComplexArray:
        """Return the complex power expected in an interval, shape (p,)."""
        power: ComplexArray = self.fixed_pu + self.weights @ self.values[interval]
        return power

    def half_band_pu(self, interval: int) -> FloatArray:
        """Return how far the active powers may be off in an interval, shape (p,)."""
        half: FloatArray = self.half_band @ self.values[interval]
        return half


class ProfileBuilder:
    """Puts a profile together, element by element; whoever is not named stays as described.

    Parameters
    ----------
    values
        Shape (T, m), the columns.
    passive
        The network's passive elements.
    """

    def __init__(self, values: FloatArray, passive: PassiveElements) -> None:
        self._values = values
        self._fixed = passive.power_pu.astype(np.complex128)
        shape = (len(passive.elements), values.shape[1])
        self._weights = sp.lil_array(shape, dtype=np.complex128)
        self._half = sp.lil_array(shape, dtype=np.float64)
        self._bounded = np.zeros(shape[0], dtype=bool)

    def active(self, element: int, columns: Sequence[int], scale_pu: float) -> None:
        """Let an active power be the mean of columns, times a scale."""
        self._fixed[element] = 1j * self._fixed[element].imag
        for column in columns:
            self._weights[element, column] += scale_pu / len(columns)

    def reactive(self, element: int, columns: Sequence[int], scale_pu: float) -> None:
        """Let a reactive power be the mean of columns, times a scale."""
        self._fixed[element] = self._fixed[element].real
        for column in columns:
            self._weights[element, column] += 1j * scale_pu / len(columns)

    def band(self, element: int, lower: int, upper: int, scale_pu: float) -> None:
        """Let an active power lie between two columns, times a scale >= 0."""
        self._half[element, upper] = 0.5 * scale_pu
        self._half[element, lower] = -0.5 * scale_pu
        self._bounded[element] = True

    def profile(self) -> PowerProfile:
        """Return what was put together."""
        return PowerProfile(
            self._values,
            self._fixed,
            sp.csr_array(self._weights),
            sp.csr_array(self._half),
            self._bounded,
        )
