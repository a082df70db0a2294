"""What nobody knows exactly: sets of deviations, each with its margin and its own worst point.

Passive demand and generation deviate from their forecast by ``xi``; per row the worst deviation is
the set's *support point* in the direction of the row's gradient (security.md section 6).  The AC
power flow is then evaluated at that very point, so that margins are exact and not only linear.
The interface voltage is such a set, too: its vertices are few, and listed.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from security_check.errors import InsecureError
from security_check.limits import InterfaceLimits
from security_check.network import FloatArray

_ROUNDING = 1e-12


class DeviationSet(ABC):
    """A convex set of deviations around zero; d of them, each in parts of its own scale."""

    @property
    @abstractmethod
    def count(self) -> int:
        """How many deviations there are, d."""

    @abstractmethod
    def support(self, direction: FloatArray) -> FloatArray:
        """Return the point of the set farthest in each direction, shapes (r, d)."""

    @property
    @abstractmethod
    def largest(self) -> FloatArray:
        """The largest magnitude of each deviation anywhere in the set, shape (d,)."""

    def margin(self, direction: FloatArray) -> FloatArray:
        """Return what the worst deviation adds to rows of these gradients, shape (r,)."""
        margin: FloatArray = (self.support(direction) * direction).sum(axis=1)
        return margin


@dataclass(frozen=True, slots=True)
class Box(DeviationSet):
    """Every deviation anywhere in [-1, 1], independently of the others."""

    size: int

    @property
    def count(self) -> int:
        """How many deviations there are."""
        return self.size

    def support(self, direction: FloatArray) -> FloatArray:
        """Return the vertex of the direction's signs."""
        return np.sign(direction)

    @property
    def largest(self) -> FloatArray:
        """One each."""
        return np.ones(self.size)


@dataclass(frozen=True, slots=True)
class Budget(DeviationSet):
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
        """How many deviations there are."""
        return self.size

    def support(self, direction: FloatArray) -> FloatArray:
        """Return the gamma largest components at their signs, the last one in part."""
        rank = np.argsort(np.argsort(-np.abs(direction), axis=1, kind="stable"), axis=1)
        support: FloatArray = np.sign(direction) * np.clip(self.gamma - rank, 0.0, 1.0)
        return support

    @property
    def largest(self) -> FloatArray:
        """One each, or gamma where that is less."""
        return np.full(self.size, min(self.gamma, 1.0))


class Ellipsoid(DeviationSet):
    """Deviations with ``xi' inv(Sigma) xi <= radius^2``.

    Parameters
    ----------
    covariance
        Shape (d, d), Sigma, symmetric and positive semidefinite.
    radius
        How many standard deviations, >= 0.

    Raises
    ------
    ValueError
        When the covariance is none, or the radius is negative.
    """

    def __init__(self, covariance: FloatArray, radius: float) -> None:
        sigma = np.asarray(covariance, dtype=float)
        if sigma.ndim != 2 or sigma.shape[0] != sigma.shape[1]:
            raise ValueError(f"a covariance is a square matrix, got shape {sigma.shape}")
        size = float(np.abs(sigma).max(initial=0.0))
        if not np.isfinite(sigma).all() or np.abs(sigma - sigma.T).max(initial=0.0) > 1e-9 * size:
            raise ValueError("a covariance is finite and symmetric; this one is not")
        if np.linalg.eigvalsh(sigma).min(initial=0.0) < -1e-9 * size:
            raise ValueError("a covariance has no negative eigenvalue; this one does")
        if not 0.0 <= radius < np.inf:
            raise ValueError(f"the radius is {radius}; it must be a number of at least 0")
        self.covariance = sigma
        self.radius = radius

    @property
    def count(self) -> int:
        """How many deviations there are."""
        return len(self.covariance)

    def support(self, direction: FloatArray) -> FloatArray:
        """Return ``radius Sigma s / sqrt(s' Sigma s)`` for each direction s."""
        along = direction @ self.covariance
        length = np.sqrt(np.maximum((along * direction).sum(axis=1, keepdims=True), 0.0))
        support: FloatArray = self.radius * along / np.where(length > 0.0, length, np.inf)
        return support

    @property
    def largest(self) -> FloatArray:
        """The radius times each standard deviation."""
        largest: FloatArray = self.radius * np.sqrt(np.maximum(np.diag(self.covariance), 0.0))
        return largest


def source_vertices(limits: InterfaceLimits, held: int) -> FloatArray:
    """Return the corners of what the contract allows the held voltages, shape (V, h), per unit.

    Without a bound on unbalance all magnitudes move together: two corners.  With one, each phase
    lies in the band, and no phase deviates from the mean of the phases by more than the bound
    (the phase voltage unbalance of IEEE Std 141, there divided by the mean).

    Parameters
    ----------
    limits
        The contract.
    held
        How many magnitudes are held.

    Raises
    ------
    InsecureError
        When a bound on unbalance is given, but the network's interface has no separate phases:
        nothing can be said about what they do.
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
