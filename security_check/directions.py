"""The directions in which currents and sequence voltages are watched.

The magnitude of a phasor has several local maxima over a box of envelopes, one for each direction
in which customers can push it.  Where all of them push along one line (a conductor of a feeder),
there are two: they inject, or they withdraw.  Where customers of different phases meet (a neutral
conductor, the delta side of a transformer, the negative sequence of a voltage), the points that
are reached form a polygon around zero, and each of its corners may be a maximum of its own.  It
has six where there are three phases, and more where power factors and distances differ; it is
watched in twelve directions.
"""

from __future__ import annotations

import numpy as np

from security_check.network import ComplexArray, FloatArray, IndexArray

AROUND = np.exp(1j * np.pi / 6 * np.arange(12))
"""Twelve directions, 30 degrees apart."""

BESIDE = AROUND[[1, 2, 3, 10, 11, 4, 5, 7, 8, 9]]
"""What two opposite directions lack of twelve: five nearer to the first, five to the other."""

_ASIDE = 0.25  # part of the strongest response: less across it is not another direction
_FAINT = 0.01  # per unit of injected current: what responds less is charging current


def by_power(response: ComplexArray, nominal: ComplexArray) -> ComplexArray:
    """Return how phasors respond to active power at nominal voltage, shape (Q, J).

    Parameters
    ----------
    response
        Shape (Q, J), by the ports' currents.
    nominal
        Shape (J,), the ports' voltages.
    """
    responding: ComplexArray = response / nominal.conj()
    return responding


def strongest(responding: ComplexArray) -> ComplexArray:
    """Return the direction of each phasor's strongest response, shape (Q,), of length 1."""
    if not responding.shape[1]:
        return np.ones(len(responding), dtype=np.complex128)
    at = np.abs(responding).argmax(axis=1)
    response = responding[np.arange(len(responding)), at]
    size: FloatArray = np.abs(response)
    return np.where(size > 0, response / np.maximum(size, 1e-300), 1.0)


def crossed(responding: ComplexArray) -> IndexArray:
    """Return the phasors that some customers push across the direction of others."""
    along = strongest(responding)[:, None]
    aside = np.abs((responding * along.conj()).imag).max(axis=1, initial=0.0)
    whole = np.abs(responding).max(axis=1, initial=0.0)
    return np.flatnonzero((aside > _ASIDE * whole) & (whole > _FAINT))
