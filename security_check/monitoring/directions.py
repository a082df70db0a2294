"""The directions in which currents and sequence voltages are watched.

The magnitude of a phasor has several local maxima over a box of envelopes, one for each direction
in which customers can move it.  Where all of them move it along one line (a conductor of a
feeder), there are two: all inject, or all withdraw.  Where customers of different phases meet (a
neutral conductor, the delta side of a transformer, the negative sequence of a voltage), the
reachable points form a polygon around zero, and each of its corners may be a maximum of its own.
The polygon has six corners with three phases, and more where power factors and distances differ;
it is watched in twelve directions.
"""

from __future__ import annotations

import numpy as np

from security_check.arrays import ComplexArray, FloatArray, IndexArray

AROUND = np.exp(1j * np.pi / 6 * np.arange(12))
"""Twelve directions, 30 degrees apart."""

BESIDE = AROUND[[1, 2, 3, 10, 11, 4, 5, 7, 8, 9]]
"""The other ten directions beside 1 and -1: five nearer to 1, then five nearer to -1."""

_ASIDE = 0.25  # part of the strongest response: less across its direction is no other direction
_FAINT = 0.01  # per unit of injected current: a smaller response is that of charging current


def strongest(response: ComplexArray, nominal: ComplexArray) -> ComplexArray:
    """Return the direction of each phasor's strongest response to injections, shape (Q,).

    Complex numbers of length 1.

    Parameters
    ----------
    response
        Shape (Q, J), by the ports' currents.
    nominal
        Shape (J,), the ports' voltages at which power becomes current.
    """
    if not response.shape[1]:
        return np.ones(len(response), dtype=np.complex128)
    at = np.abs(response).argmax(axis=1)
    answer = response[np.arange(len(response)), at] / nominal[at].conj()
    size: FloatArray = np.abs(answer)
    return np.where(size > 0, answer / np.maximum(size, 1e-300), 1.0)


def crossed(response: ComplexArray, nominal: ComplexArray) -> IndexArray:
    """Return the phasors that some customers move across the direction of others.

    Arguments are those of :func:`strongest`.
    """
    answers = response / nominal.conj()
    along = strongest(response, nominal)[:, None]
    aside = np.abs((answers * along.conj()).imag).max(axis=1, initial=0.0)
    whole = np.abs(answers).max(axis=1, initial=0.0)
    return np.flatnonzero((aside > _ASIDE * whole) & (whole > _FAINT))
