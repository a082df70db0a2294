"""Powers of passive elements over time, as combinations of a few columns of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from security_check.arrays import BoolArray, ComplexArray, FloatArray
from security_check.model.network_elements import PassiveElements


@dataclass(frozen=True, slots=True)
class PowerProfile:
    """The expected powers of p passive elements in T intervals, from m columns of numbers.

    Parameters
    ----------
    values
        Shape (T, m), the columns.
    fixed_pu
        Shape (p,), complex, per unit, injection positive: the part that follows no column.
    weights
        Shape (p, m), complex: the powers in interval t are ``fixed_pu + weights @ values[t]``.
    half_band
        Shape (p, m), real: ``half_band @ values[t]`` are the half-bands of the active powers.
    bounded
        Shape (p,), whether an element has a band.
    """

    values: FloatArray
    fixed_pu: ComplexArray
    weights: sp.csr_array
    half_band: sp.csr_array
    bounded: BoolArray

    def power_pu(self, interval: int) -> ComplexArray:
        """Return the complex powers expected in an interval, per unit, shape (p,)."""
        power: ComplexArray = self.fixed_pu + self.weights @ self.values[interval]
        return power

    def half_band_pu(self, interval: int) -> FloatArray:
        """Return the half-bands of the active powers in an interval, per unit, shape (p,)."""
        half: FloatArray = self.half_band @ self.values[interval]
        return half


class ProfileBuilder:
    """Builds a profile element by element; all other elements keep the powers of the network.

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
        """Set an active power to the mean of columns, times a scale."""
        self._fixed[element] = 1j * self._fixed[element].imag
        for column in columns:
            self._weights[element, column] += scale_pu / len(columns)

    def reactive(self, element: int, columns: Sequence[int], scale_pu: float) -> None:
        """Set a reactive power to the mean of columns, times a scale."""
        self._fixed[element] = self._fixed[element].real
        for column in columns:
            self._weights[element, column] += 1j * scale_pu / len(columns)

    def band(self, element: int, lower: int, upper: int, scale_pu: float) -> None:
        """Set the band of an active power: two columns, times a scale >= 0."""
        self._half[element, upper] = 0.5 * scale_pu
        self._half[element, lower] = -0.5 * scale_pu
        self._bounded[element] = True

    def profile(self) -> PowerProfile:
        """Return the profile."""
        return PowerProfile(
            self._values,
            self._fixed,
            sp.csr_array(self._weights),
            sp.csr_array(self._half),
            self._bounded,
        )
