"""Newton's method for power flows at which the fixed point iteration does not contract.

The iteration ``v = w m + Z conj(s / v)`` contracts where voltages are near their no-load values.
Close to voltage collapse it does not, although a solution exists.  There Newton's method continues
the solution from no load: powers rise in steps, each solved from the one before.  The Jacobian of
the port equations is the identity without load.  It turns singular where the solution ends, so a
point at which its determinant is not positive is not on the branch of solutions that begins at
no load.

Both equations here are linear in a vector and its conjugate, ``x + K conj(x) = b``, and are solved
as real systems of twice the size.
"""

from __future__ import annotations

import numpy as np

from security_check.arrays import ComplexArray, FloatArray

_STEPS = 12  # of Newton's method for one point on the way; four to six are usual
_PARTS = 64  # of the way from no load, at most; a step that fails is halved
_SMALLEST = 2.0**-10  # part of the way: a step below it has reached the end of the solutions


def solution_at(
    impedance: ComplexArray, profile: ComplexArray, conjugate: ComplexArray, tolerance_pu: float
) -> ComplexArray | None:
    """Return the voltages across the ports at one point; ``None`` where there are none.

    Parameters
    ----------
    impedance
        Shape (J, J), of the ports.
    profile
        Shape (J,), the voltages without load.
    conjugate
        Shape (J,), the conjugate powers injected, per unit.
    tolerance_pu
        Largest change of a voltage in the last step.
    """
    voltage, reached, step = profile, 0.0, 1.0
    for _ in range(_PARTS):
        part = min(reached + step, 1.0)
        found = _newton(impedance, profile, part * conjugate, voltage, tolerance_pu)
        if found is None:
            step *= 0.5
            if step < _SMALLEST:
                return None
            continue
        voltage, reached = found, part
        if reached == 1.0:
            return voltage
    return None


def solved_with_conjugate(factor: ComplexArray, right: ComplexArray) -> ComplexArray:
    """Return x with ``x + factor conj(x) = right``, shapes (J, J) and (J,)."""
    size = len(right)
    both = np.concatenate([right.real, right.imag])
    x = np.linalg.solve(_real(factor), both)
    return np.asarray(x[:size] + 1j * x[size:])


def _newton(
    impedance: ComplexArray,
    profile: ComplexArray,
    conjugate: ComplexArray,
    voltage: ComplexArray,
    tolerance_pu: float,
) -> ComplexArray | None:
    with np.errstate(all="ignore"):
        for _ in range(_STEPS):
            current = conjugate / voltage.conj()
            miss = profile + impedance @ current - voltage
            factor = impedance * (current / voltage.conj())
            if not np.isfinite(factor).all():
                return None
            try:
                change = solved_with_conjugate(factor, miss)
            except np.linalg.LinAlgError:
                return None
            voltage = voltage + change
            if np.abs(change).max(initial=0.0) <= tolerance_pu:
                sign, _ = np.linalg.slogdet(_real(factor))
                return voltage if sign > 0.0 else None
    return None


def _real(factor: ComplexArray) -> FloatArray:
    """Return the real matrix of ``x + factor conj(x)``, shape (2 J, 2 J)."""
    one = np.eye(len(factor))
    return np.block([[one + factor.real, factor.imag], [factor.imag, one - factor.real]])
