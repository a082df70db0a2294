"""Powers injected at ports with inverters that respond to the voltage, with exact slopes.

:mod:`security_check.modifications.inverters` makes the numbers from curves of standards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from security_check.arrays import ComplexArray, FloatArray, IndexArray


@dataclass(frozen=True, slots=True)
class Segments:
    """Piecewise linear functions, one for each of K ports, each of at most s segments.

    Parameters
    ----------
    first
        Shape (K,), the values below the first corner.
    begin, width, rise
        Shape (s, K): begin and width (> 0) of each segment, and the rise of the function along
        it.
    """

    first: FloatArray
    begin: FloatArray
    width: FloatArray
    rise: FloatArray

    def __call__(self, at: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return values and slopes at (K, B) arguments; at a corner, the slope of its left side."""
        value = np.repeat(self.first[:, None], at.shape[1], axis=1)
        slope = np.zeros_like(at)
        for begin, width, rise in zip(self.begin, self.width, self.rise, strict=True):
            along = (at - begin[:, None]) / width[:, None]
            value += rise[:, None] * np.clip(along, 0.0, 1.0)
            slope += np.where((along > 0.0) & (along <= 1.0), (rise / width)[:, None], 0.0)
        return value, slope

    @property
    def largest(self) -> FloatArray:
        """The largest magnitude of each function, shape (K,)."""
        corners = self.first + np.concatenate(
            [np.zeros((1, len(self.first))), np.cumsum(self.rise, axis=0)]
        )
        largest: FloatArray = np.abs(corners).max(axis=0)
        return largest


@dataclass(frozen=True, slots=True)
class InverterOutput:
    """Powers injected at K ports in B operating points, and their slopes; shapes (K, B).

    Parameters
    ----------
    power
        Complex power injected.
    by_voltage
        Its change by the magnitude of the port's voltage, complex.
    passes
        The part of a change of the requested active power that is injected: 1, or 0 where the
        inverter curtails.
    """

    power: ComplexArray
    by_voltage: ComplexArray
    passes: FloatArray


@dataclass(frozen=True, slots=True)
class Inverters:
    """Inverters at K ports, each port with a single connection point.

    Parameters
    ----------
    ports
        Shape (K,), their ports.
    rating_pu
        Shape (K,), > 0: apparent power.
    nominal
        Shape (K,), the port's nominal voltage: 1, or the square root of 3 between two phases.
    volt_var, volt_watt
        The curves, in parts of the rating, over the voltage in parts of its nominal value.
    """

    ports: IndexArray
    rating_pu: FloatArray
    nominal: FloatArray
    volt_var: Segments
    volt_watt: Segments

    def answer(self, requested: ComplexArray, size: FloatArray) -> InverterOutput:
        """Return the powers injected for the powers requested, at voltages of these magnitudes.

        Parameters
        ----------
        requested
            Shape (K, B), complex powers requested, injection positive.
        size
            Shape (K, B), magnitudes of the ports' voltages, per unit.
        """
        nominal, rating = self.nominal[:, None], self.rating_pu[:, None]
        var, var_slope = self.volt_var(size / nominal)
        watt, watt_slope = self.volt_watt(size / nominal)
        beside = np.sqrt(np.maximum(1.0 - var**2, 0.0))  # left by reactive power
        beside_slope = np.where(beside > 0.0, -var / np.maximum(beside, 1e-300), 0.0) * var_slope
        curtails = watt <= beside
        most = rating * np.where(curtails, watt, beside)
        most_slope = np.where(curtails, watt_slope, beside_slope)
        capped = requested.real > most
        power = np.where(capped, most, requested.real) + 1j * (requested.imag + rating * var)
        slope = np.where(capped, most_slope, 0.0) + 1j * var_slope
        return InverterOutput(power, slope * rating / nominal, np.where(capped, 0.0, 1.0))

    @property
    def largest_reactive_pu(self) -> FloatArray:
        """The largest reactive power that each adds, either way, shape (K,)."""
        return self.rating_pu * self.volt_var.largest
