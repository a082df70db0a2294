"""Polygons for a circle, as the planes that bound the phasor of a voltage or current.

A phasor of magnitude at most R lies in the polygon with its corners on the circle of radius R if

    (re A_n + im B_n) / C_n <= R        A_n = sin a - sin b,  B_n = cos b - cos a,
                                        C_n = cos b sin a - cos a sin b

for each side n, between corners at the angles a < b.  That is
``Re(conj(d) x) <= R cos((b - a) / 2)`` with d, of length 1, halfway between the corners.
This polygon is *inside* the circle: what it allows keeps the limit, and what it gives away is at
most ``R (1 - cos((b - a) / 2))``.  A plane that touches the circle, ``Re(conj(d) x) <= R``, gives
nothing away; enough of them where phasors are largest stand for the circle itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from security_check.arrays import ComplexArray, FloatArray

FEWEST = 3
"""Corners of a polygon at least: with two it would be a line."""

_FINE = 2.0 * np.pi / 512  # angle between corners near the operating point of a voltage
_NEAR = 24  # such corners on either side: 17 degrees, more than voltages of a feeder turn


@dataclass(frozen=True, slots=True)
class Polygon:
    """Planes ``Re(conj(d) x) <= distance`` for the circle of radius 1; N of them.

    Parameters
    ----------
    directions
        Shape (N,), complex, of length 1.
    distances
        Shape (N,), from the centre.
    """

    directions: ComplexArray
    distances: FloatArray

    @classmethod
    def inside(cls, corners: FloatArray) -> Self:
        """Return the polygon with its corners on the circle, at angles of any order."""
        at = np.unique(np.mod(corners, 2.0 * np.pi))
        halves: FloatArray = 0.5 * (np.append(at[1:], at[0] + 2.0 * np.pi) - at)
        return cls(np.exp(1j * (at + halves)), np.cos(halves))

    @classmethod
    def regular(cls, planes: int) -> Self:
        """Return the polygon inside the circle with N equal sides, one corner at the angle 0.

        Raises
        ------
        ValueError
            When there are fewer than three planes.
        """
        return cls.inside(_equal_angles(planes))

    @classmethod
    def fine_around(cls, planes: int, angle: float) -> Self:
        """Return the same with corners 0.7 degrees apart near an angle.

        For voltages, whose limits are within a few percent of what they are: there the sides of a
        coarse polygon would give away more than the limits leave.
        """
        added = angle + _FINE * np.arange(-_NEAR, _NEAR + 1)
        return cls.inside(np.append(_equal_angles(planes), added))

    @classmethod
    def touching(cls, planes: int) -> Self:
        """Return the polygon around the circle with N equal sides."""
        return cls(np.exp(1j * _equal_angles(planes)), np.ones(planes))

    def touching_at(self, angle: float, distance: float = 1.0) -> Self:
        """Return the polygon with a further plane in the direction of an angle."""
        return type(self)(
            np.append(self.directions, np.exp(1j * angle)), np.append(self.distances, distance)
        )


def _equal_angles(planes: int) -> FloatArray:
    if planes < FEWEST:
        raise ValueError(f"a polygon has at least {FEWEST} planes, got {planes}")
    angles: FloatArray = 2.0 * np.pi / planes * np.arange(planes, dtype=np.float64)
    return angles
