"""The optimality conditions of alpha-fairness, solved in the levels of rows.

A limit is ``u_i = clip(w_i (sum_r A_ri exp(-alpha z_r))^(-1/alpha), lower_i, upper_i)`` with a
logarithmic level z_r for each row, infinite where the row has no price.  Levels are optimal when
every row with a finite one is full and no other row is exceeded; the problem is convex, so such
levels are *the* optimum, by whatever method they were found.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import brentq, nnls
from scipy.special import logsumexp

from security_check.arrays import FloatArray

# Largest miss of a row's bound, parts of its room: at the end, and where rounding allows no better.
_EXACT, _GOOD = 1e-13, 1e-9
# Parts of the least marginal utility: a price below this has no effect on any limit.
_UNPRICED = 1e-7
# Sweeps over the rows.  A sweep is linear in its convergence; one that has not converged after
# 300 will not.
_SWEEPS = 300
# Newton steps.  Near the optimum a handful converges; a bad start goes back to a sweep.
_NEWTON = 40
# Halvings of a Newton step: if 1/4096 of it is no progress, the direction is wrong.
_HALVINGS = 12
# Exponents of e are cut off here, short of the overflow of a float at 709.
_LARGEST_EXPONENT = 700.0
# Relative singular values below this are rounding in the matrix of a Newton step.
_SINGULAR = 1e-13


@dataclass(frozen=True)  # without slots, for the two cached properties
class RowLevels:
    """Alpha-fairness over a packing polytope in which every limit can rise.

    Parameters
    ----------
    A, b
        Shapes (r, m) and (r,), with ``A @ lower < b``.
    lower, upper
        Shape (m,), ``lower < upper``.
    weight
        Shape (m,), > 0.
    alpha
        > 0.
    """

    A: FloatArray
    b: FloatArray
    lower: FloatArray
    upper: FloatArray
    weight: FloatArray
    alpha: float

    @cached_property
    def _log_a(self) -> FloatArray:
        """Logarithms of the coefficients, shape (r, m); minus infinity where one is 0."""
        with np.errstate(divide="ignore"):
            logs: FloatArray = np.log(self.A)
        return logs

    @cached_property
    def _room(self) -> FloatArray:
        """Room of the rows above the lower bounds, shape (r,)."""
        return self.b - self.A @ self.lower

    def solved(
        self, level: FloatArray, sweeps: int = _SWEEPS
    ) -> tuple[FloatArray, FloatArray] | None:
        """Return the limits and the prices of rows, relative to the largest.

        Newton's method on the rows that have a level.  If it does not lead to an optimum, every
        row in turn sets its own level (exact descent of the convex dual, one price at a time),
        which also finds the rows that have a level.

        Parameters
        ----------
        level
            Shape (r,), the levels to start from.
        sweeps
            Number of sweeps; ``None`` is returned where levels have not converged then.
        """
        for _ in range(sweeps):
            candidates = [self._newton(level)]
            candidates.append(self._newton(self._without_idle(candidates[0])))
            for found in candidates:
                if self._excess(found) <= _EXACT:
                    return self.limits(found), self._prices(found)
            level = self._swept(min([level, *candidates], key=self._excess))
        return (self.limits(level), self._prices(level)) if self._excess(level) <= _GOOD else None

    def limits(self, level: FloatArray) -> FloatArray:
        """Return the limits at levels of rows, shape (m,)."""
        priced = np.isfinite(level)
        return self._clipped(self._logs(priced, level))

    def levels_of(self, price: FloatArray) -> FloatArray:
        """Return the levels of rows with the prices given, infinite for those without effect."""
        whole = price @ self.A
        least = np.min(self.weight / self.upper) ** self.alpha
        effect = (price[:, None] * self.A / np.maximum(whole, least)).max(axis=1, initial=0.0)
        level = np.full(len(price), np.inf)
        priced = effect > _UNPRICED
        level[priced] = -np.log(price[priced]) / self.alpha
        return level

    def _logs(self, priced: np.ndarray, level: FloatArray) -> FloatArray:
        """Return the logarithm of each limit's marginal cost, shape (m,)."""
        if not priced.any():
            return np.full(len(self.weight), -np.inf)
        terms = self._log_a[priced] - self.alpha * level[priced, None]
        with np.errstate(divide="ignore"):
            cost: FloatArray = logsumexp(terms, axis=0)
        return cost

    def _clipped(self, log_cost: FloatArray) -> FloatArray:
        exponent = np.minimum(-log_cost / self.alpha, _LARGEST_EXPONENT)
        return np.clip(self.weight * np.exp(exponent), self.lower, self.upper)

    def _excess(self, level: FloatArray) -> float:
        """Return by how much the conditions are missed, in parts of a row's room."""
        over = (self.A @ self.limits(level) - self.b) / self._room
        return float(np.where(np.isfinite(level), np.abs(over), over).max(initial=0.0))

    def _prices(self, level: FloatArray) -> FloatArray:
        prices: FloatArray = np.exp(-self.alpha * (level - level.min(initial=np.inf)))
        return np.where(np.isfinite(level), prices, 0.0)

    def _newton(self, level: FloatArray) -> FloatArray:
        """Return levels at which the rows that have one are full, or the best levels on the way."""
        priced = np.isfinite(level)
        A, log_a, room = self.A[priced], self._log_a[priced], self._room[priced]
        level = level.copy()

        def missed(z: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
            log_cost = logsumexp(log_a - self.alpha * z[:, None], axis=0)
            u = self._clipped(log_cost)
            return (A @ u - self.b[priced]) / room, u, log_cost

        if not priced.any():
            return level
        z = level[priced]
        with np.errstate(divide="ignore"):
            miss, u, log_cost = missed(z)
            for _ in range(_NEWTON):
                if np.abs(miss).max() <= _EXACT:
                    break
                free = (u > self.lower) & (u < self.upper)
                part = np.exp(log_a[:, free] - self.alpha * z[:, None] - log_cost[free])
                slope = (A[:, free] * u[free]) @ part.T / room[:, None]
                step = np.linalg.lstsq(slope, -miss, rcond=_SINGULAR)[0]
                step *= min(
                    1.0, max(1.0, 1.0 / self.alpha) / max(float(np.abs(step).max()), 1e-300)
                )
                for _ in range(_HALVINGS):
                    tried = missed(z + step)
                    if np.abs(tried[0]).max() < np.abs(miss).max():
                        break
                    step *= 0.5
                else:
                    break
                z, (miss, u, log_cost) = z + step, tried
        level[priced] = z
        return level

    def _without_idle(self, level: FloatArray) -> FloatArray:
        """Return levels without those of rows that are not quite full.

        Of rows that are almost the same, only one can be exactly full, but the cone solver
        divides the price among all of them.  The rows that stay take over the prices of the
        others by least squares.
        """
        priced = np.isfinite(level)
        used = self.A @ self.limits(level) - self.b
        full = np.flatnonzero(priced & (used >= -_EXACT * self._room))
        if len(full) == np.count_nonzero(priced) or not len(full):
            return level
        log_cost = self._logs(priced, level)
        pays = np.isfinite(log_cost)
        logs = self._log_a[np.ix_(full, pays)] - self.alpha * level[full, None]
        factor, _ = nnls(np.exp(logs - log_cost[pays]).T, np.ones(np.count_nonzero(pays)))
        left = np.full(len(level), np.inf)
        with np.errstate(divide="ignore"):
            left[full] = level[full] - np.log(factor) / self.alpha
        return left

    def _swept(self, level: FloatArray) -> FloatArray:
        """Return levels after each row has set its own, the lowest level first."""
        level = level.copy()
        over = self.A @ self.limits(level) - self.b
        for row in np.argsort(np.where(np.isfinite(level), level, 1e300 - over), kind="stable"):
            if np.isfinite(level[row]) or self.A[row] @ self.limits(level) > self.b[row]:
                level[row] = self._own_level(int(row), level)
        return level

    def _own_level(self, row: int, level: FloatArray) -> float:
        """Return the level at which a row is full, given all others; infinite if it never is."""
        others = np.isfinite(level)
        others[row] = False
        rest = self._logs(others, level)
        log_a, a, most = self._log_a[row], self.A[row], self.b[row]

        def over(z: float) -> float:
            return float(a @ self._clipped(np.logaddexp(rest, log_a - self.alpha * z)) - most)

        if a @ self._clipped(rest) <= most:
            return float("inf")
        start = level[row]
        if not np.isfinite(start):
            start = float(np.log(np.max(self.limits(level) / self.weight)))
        low = high = start
        step = 0.1
        while over(low) > 0.0:
            low, step = low - step, 2.0 * step
        step = 0.1
        while over(high) <= 0.0:
            high, step = high + step, 2.0 * step
            if step > 1e6:
                return float("inf")
        return float(brentq(over, low, high, xtol=1e-15, rtol=1e-14))
