"""Sets of deviations: their support points and nearest points.

A deviation vector ``xi`` has d components, each in parts of its own half-band (see
:mod:`security_check.uncertainty.deviations`); 0 is the forecast.  The worst deviation for a row is
the set's *support point* in the direction of the row's gradient (docs/uncertainty.md).  The AC
power flow is evaluated at that point, so that margins are exact and not only linear.  The
contracted interface voltage is such a set, too: :func:`source_vertices` lists its few vertices.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from security_check.arrays import FloatArray
from security_check.errors import InsecureError
from security_check.model.limits import InterfaceLimits

_ROUNDING = 1e-12  # per unit, or parts of a half-band: far above the rounding of float64
_NEWTON_STEPS = 12  # enough for rounding: they converge quadratically
_POINT = 1e-9  # standard deviations: an ellipsoid of a smaller radius is one point


class DeviationSet(ABC):
    """A convex set of deviations around zero; d of them, each in parts of its own scale."""

    @property
    @abstractmethod
    def count(self) -> int:
        """Number of deviations, d."""

    @abstractmethod
    def support(self, direction: FloatArray) -> FloatArray:
        """Return the point of the set farthest in each direction, shapes (r, d)."""

    @property
    @abstractmethod
    def largest(self) -> FloatArray:
        """The largest magnitude of each deviation anywhere in the set, shape (d,)."""

    @abstractmethod
    def nearest(self, point: FloatArray) -> FloatArray:
        """Return the point of the set nearest to each point, shapes (r, d)."""

    def exchanges(self, point: FloatArray) -> FloatArray:
        """Return other extreme points, shape (e, d), that are worth nearly as much as a given one.

        There are some only where the deviations of the set compete with each other.
        """
        return point[None, :][:0]


@dataclass(frozen=True, slots=True)
class BoxSet(DeviationSet):
    """Every deviation anywhere in [-1, 1], independently of the others."""

    size: int

    @property
    def count(self) -> int:
        """Number of deviations, d."""
        return self.size

    def support(self, direction: FloatArray) -> FloatArray:
        """Return the vertex of the direction's signs."""
        return np.sign(direction)

    def nearest(self, point: FloatArray) -> FloatArray:
        """Return the point with every component cut to [-1, 1]."""
        nearest: FloatArray = np.clip(point, -1.0, 1.0)
        return nearest

    @property
    def largest(self) -> FloatArray:
        """1 for each."""
        return np.ones(self.size)


@dataclass(frozen=True, slots=True)
class BudgetSet(DeviationSet):
    """Deviations in [-1, 1] whose magnitudes add up to at most ``gamma``.

    ``gamma = 0`` is no uncertainty, ``gamma = d`` the box (Bertsimas and Sim, The Price of
    Robustness, Operations Research 52, 2004).

    Raises
    ------
    ValueError
        When gamma is not between 0 and the number of deviations.
    """

    size: int
    gamma: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.gamma <= self.size:
            raise ValueError(f"gamma is {self.gamma}; it must be from 0 to {self.size}")

    @property
    def count(self) -> int:
        """Number of deviations, d."""
        return self.size

    def support(self, direction: FloatArray) -> FloatArray:
        """Return the gamma largest components at their signs, the last one in part."""
        rank = np.argsort(np.argsort(-np.abs(direction), axis=1, kind="stable"), axis=1)
        support: FloatArray = np.sign(direction) * np.clip(self.gamma - rank, 0.0, 1.0)
        return support

    def nearest(self, point: FloatArray) -> FloatArray:
        """Return the point with all magnitudes lowered by the same amount, to meet the budget.

        The sum of what is left, each cut to [0, 1], falls piecewise linearly with this amount;
        its corners are the magnitudes and the magnitudes less one.
        """
        size = np.abs(point)
        taken = np.sort(np.hstack([0.0 * size[:, :1], size, np.maximum(size - 1.0, 0.0)]), axis=1)
        left = np.clip(size[:, None, :] - taken[:, :, None], 0.0, 1.0).sum(axis=2)
        after = np.maximum((left > self.gamma).sum(axis=1), 1)[:, None]
        after = np.minimum(after, taken.shape[1] - 1)
        t1, t0 = (np.take_along_axis(taken, k, axis=1) for k in (after, after - 1))
        l1, l0 = (np.take_along_axis(left, k, axis=1) for k in (after, after - 1))
        part = np.clip((l0 - self.gamma) / np.maximum(l0 - l1, 1e-300), 0.0, 1.0)
        nearest: FloatArray = np.sign(point) * np.clip(size - (t0 + part * (t1 - t0)), 0.0, 1.0)
        return nearest

    def exchanges(self, point: FloatArray) -> FloatArray:
        """Return the points in which two deviations of different size change places.

        Each keeps its sign; a deviation of zero gets either sign.
        """
        size = np.abs(point)
        first, second = np.nonzero(size[:, None] > size[None, :] + _ROUNDING)
        swapped = np.repeat(point[None, :], 2 * len(first), axis=0)
        first, second = np.tile(first, 2), np.tile(second, 2)
        each = np.arange(len(swapped))
        either = np.repeat([1.0, -1.0], len(each) // 2)
        swapped[each, first] = np.sign(point[first]) * size[second]
        swapped[each, second] = np.where(point[second] == 0.0, either, np.sign(point[second]))
        swapped[each, second] *= size[first]
        return np.unique(swapped, axis=0)

    @property
    def largest(self) -> FloatArray:
        """1 for each, or gamma where that is less."""
        return np.full(self.size, min(self.gamma, 1.0))


class EllipsoidSet(DeviationSet):
    """Deviations with ``xi' inv(Sigma) xi <= radius^2``.

    Parameters
    ----------
    covariance
        Shape (d, d), Sigma, symmetric and positive semidefinite.
    radius
        Number of standard deviations, >= 0.

    Raises
    ------
    ValueError
        When the matrix is not a covariance, or the radius is negative.
    """

    def __init__(self, covariance: FloatArray, radius: float) -> None:
        sigma = np.asarray(covariance, dtype=float)
        if sigma.ndim != 2 or sigma.shape[0] != sigma.shape[1]:
            raise ValueError(f"a covariance is a square matrix, got shape {sigma.shape}")
        size = float(np.abs(sigma).max(initial=0.0))
        if not np.isfinite(sigma).all() or np.abs(sigma - sigma.T).max(initial=0.0) > 1e-9 * size:
            raise ValueError("a covariance is finite and symmetric; this one is not")
        variances, self._axes = np.linalg.eigh(sigma)
        if variances.min(initial=0.0) < -1e-9 * size:
            raise ValueError("a covariance has no negative eigenvalue; this one does")
        if not 0.0 <= radius < np.inf:
            raise ValueError(f"the radius is {radius}; it must be a number of at least 0")
        self._variances = np.where(variances > 1e-12 * size, variances, 0.0)
        self.covariance = sigma
        self.radius = radius

    @property
    def count(self) -> int:
        """Number of deviations, d."""
        return len(self.covariance)

    def support(self, direction: FloatArray) -> FloatArray:
        """Return ``radius Sigma s / sqrt(s' Sigma s)`` for each direction s."""
        along = direction @ self.covariance
        length = np.sqrt(np.maximum((along * direction).sum(axis=1, keepdims=True), 0.0))
        support: FloatArray = self.radius * along / np.where(length > 0.0, length, np.inf)
        return support

    def nearest(self, point: FloatArray) -> FloatArray:
        """Return the point drawn in along the axes, ``q s / (s + t)``, with t just large enough.

        By Newton steps on the length, as in trust region methods (More and Sorensen, Computing a
        Trust Region Step, 1983): from t = 0 they rise to the solution.
        """
        if self.radius < _POINT:
            return 0.0 * point
        along, t = point @ self._axes, np.zeros((len(point), 1))
        s = np.where(self._variances > 0.0, self._variances, 1.0)
        weighed = np.where(self._variances > 0.0, along**2 * s, 0.0)
        for _ in range(_NEWTON_STEPS):
            square = (weighed / (s + t) ** 2).sum(axis=1, keepdims=True)
            bend = (weighed / (s + t) ** 3).sum(axis=1, keepdims=True)
            step = (np.sqrt(square) / self.radius - 1.0) * square / np.maximum(bend, 1e-300)
            t = np.maximum(t + step, 0.0)
        drawn_in = np.where(self._variances > 0.0, along * s / (s + t), 0.0)
        nearest: FloatArray = drawn_in @ self._axes.T
        return nearest

    @property
    def largest(self) -> FloatArray:
        """The radius times each standard deviation."""
        largest: FloatArray = self.radius * np.sqrt(np.maximum(np.diag(self.covariance), 0.0))
        return largest


@dataclass(frozen=True, slots=True)
class ProductSet(DeviationSet):
    """Several sets side by side, each deviating independently of the others."""

    parts: tuple[DeviationSet, ...]

    @property
    def count(self) -> int:
        """Number of deviations of all parts, d."""
        return sum(part.count for part in self.parts)

    def support(self, direction: FloatArray) -> FloatArray:
        """Return each part's own support point."""
        ends = np.cumsum([part.count for part in self.parts])
        own = np.split(direction, ends[:-1], axis=1)
        return np.hstack([part.support(d) for part, d in zip(self.parts, own, strict=True)])

    def nearest(self, point: FloatArray) -> FloatArray:
        """Return each part's own nearest point."""
        ends = np.cumsum([part.count for part in self.parts])
        own = np.split(point, ends[:-1], axis=1)
        return np.hstack([part.nearest(p) for part, p in zip(self.parts, own, strict=True)])

    def exchanges(self, point: FloatArray) -> FloatArray:
        """Return each part's exchanges, the others staying as they are."""
        found, begin = [point[None, :][:0]], 0
        for part in self.parts:
            own = slice(begin, begin + part.count)
            others = part.exchanges(point[own])
            changed = np.repeat(point[None, :], len(others), axis=0)
            changed[:, own] = others
            found.append(changed)
            begin += part.count
        return np.concatenate(found)

    @property
    def largest(self) -> FloatArray:
        """The magnitudes of all parts, in order."""
        return np.concatenate([part.largest for part in self.parts])


def source_vertices(limits: InterfaceLimits, held: int) -> FloatArray:
    """Return the corners of the contracted set of held voltages, shape (V, h), per unit.

    Without a bound on unbalance all magnitudes move together: two corners.  With one, each phase
    lies in the band, and no phase deviates from the mean of the phases by more than the bound
    (the phase voltage unbalance of IEEE Std 141, there divided by the mean).

    Parameters
    ----------
    limits
        The contract.
    held
        Number of magnitudes held, h.

    Raises
    ------
    InsecureError
        When a bound on unbalance is given, but the network's interface has no separate phases.
    """
    low, high = limits.voltage_min_pu, limits.voltage_max_pu
    if not limits.unbalance_pu:
        return np.repeat([[low], [high]], held, axis=1)
    if held == 1:
        raise InsecureError(
            "interface",
            f"an unbalance of {limits.unbalance_pu:g} p.u. is contracted, but the phases of "
            f"this network's interface are not held one by one",
        )
    each = np.eye(held)
    from_mean = each - 1.0 / held
    sides = np.concatenate([each, -each, from_mean, -from_mean])
    bounds = np.repeat([high, -low, limits.unbalance_pu, limits.unbalance_pu], held)
    found = []
    for chosen in itertools.combinations(range(len(sides)), held):
        facets = sides[list(chosen)]
        if abs(np.linalg.det(facets)) > 1e-9:
            found.append(np.linalg.solve(facets, bounds[list(chosen)]))
    corners = np.array([m for m in found if (sides @ m <= bounds + _ROUNDING).all()])
    return np.unique(np.round(corners, 12), axis=0)
