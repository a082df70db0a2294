"""The gain that a market could reach at most, by a program that shares nothing with the exchange.

Every owner values a limit by a concave function; the greatest total value under the security
check's linear rows is a quadratic program, solved with cvxpy.  The AC power flow confirms its
solution, which brings the rows up to date there, and the program is solved again until nothing
more is gained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cvxpy as cp
import numpy as np
from agents.strategies import LimitValue

from exchange.vocabulary.network_port import SecurityState
from security_check.arrays import FloatArray, IntArray
from security_check.checking.verdict import LimitChange
from security_check.model.envelope import Direction

ROUNDS, REFUSALS = 60, 8
"""Programs solved at most, and how many of them the AC power flow may refuse in a row."""
FIRST_AWAY_W, LEAST_AWAY_W = 2.0, 0.1
"""Solutions keep so many watts of a row's most sensitive limit away from it: they are rounded.

Farther where the AC power flow has refused one, nearer with each that it confirms.  A refusal
brings the rows up to date at the point refused, as in sequential quadratic programming, so that
seen from the limits in force a row may have less than no headroom.
"""
_APART = 2.0  # by this factor

_UNIT = 1e6  # ticks, so that the solver sees numbers near one
_STILL = 1e-8  # of the gain so far: less than this in a round is nothing


@dataclass(frozen=True)
class Attainable:
    """What was reached, in tick-watts.

    ``bound`` is what no further change gains more than, by the duals at the last point and the
    linear rows there: what is attainable lies between ``gain`` and ``gain + bound``.
    """

    gain: float
    bound: float
    limits_w: IntArray


class _Program:
    """The concave program around the limits in force of a security state."""

    def __init__(self, values: Sequence[LimitValue], capacity_w: int, *, balanced: bool) -> None:
        self.first = np.array([v.first_ticks for v in values])
        self.slope = np.array([v.slope_ticks_per_w for v in values])
        self.used_w = self.first / self.slope  # beyond these a limit is worth no more
        self.capacity_w = capacity_w
        self.balanced = balanced

    def worth(self, limits_w: FloatArray | IntArray) -> float:
        used = np.minimum(limits_w, self.used_w)
        return float((self.first * used - self.slope * used**2 / 2).sum())

    def solve(
        self, security: SecurityState, u: FloatArray, away_w: float = 0.0
    ) -> tuple[FloatArray, float]:
        """Return the best change of limits, and the bound on what any change gains."""
        rows = security.linear_rows()
        size = rows.A.max(axis=1, initial=0.0)
        live = size > 0
        A = rows.A[live] / size[live, None]
        h = rows.headroom[live] / size[live] * rows.base_power_w
        n = len(u)
        x, used = cp.Variable(n), cp.Variable(n)
        worth = self.first / _UNIT @ used - cp.sum(
            cp.multiply(self.slope / (2 * _UNIT), cp.square(used))
        )
        row = A @ x <= h - away_w
        constraints = [row, used <= u + x, used <= self.used_w, x >= -u, x <= self.capacity_w - u]
        halves = [x[: n // 2], x[n // 2 :]]
        if self.balanced:
            constraints += [cp.sum(half) == 0 for half in halves]
        problem = cp.Problem(cp.Maximize(worth), constraints)
        problem.solve(solver=cp.CLARABEL)
        if problem.status not in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE):
            raise RuntimeError(f"the attainable gain is not found: {problem.status}")
        eta = np.maximum(row.dual_value, 0.0) * _UNIT
        balance = np.zeros(n)
        if self.balanced:
            balance = np.repeat([float(c.dual_value) * _UNIT for c in constraints[-2:]], n // 2)
        # Whatever sign a solver gives the duals of equations: either way it is a bound.
        bound = min(self._bound(u, h, eta, eta @ A + sign * balance) for sign in (1, -1))
        return np.asarray(x.value), bound

    def _bound(self, u: FloatArray, h: FloatArray, eta: FloatArray, local: FloatArray) -> float:
        """Return what no change gains more than at given local prices: weak duality."""
        best = np.clip((self.first - local) / self.slope, 0.0, self.capacity_w)
        # Where a limit is worth nothing more, a negative price still pays for taking it.
        best = np.where(local < 0, float(self.capacity_w), np.minimum(best, self.used_w))
        return (
            float(eta @ np.maximum(h, 0.0))
            + self.worth(best)
            - self.worth(u)
            - float(local @ (best - u))
        )


def attainable_gain(
    security: SecurityState,
    connection_points: Sequence[str],
    values: Sequence[LimitValue],
    capacity_w: int,
    *,
    balanced: bool = True,
) -> Attainable:
    """Return the greatest gain over the envelopes in force, and leave its limits in force.

    Parameters
    ----------
    security
        Secure limits to start from; changed.
    connection_points
        c of them, in the network's order.
    values
        2 c of them, injection first; slopes above zero.
    capacity_w
        Of every connection point in each direction; fallbacks are zero.
    balanced
        Whether watts bought and sold must balance in each direction.
    """
    program = _Program(values, capacity_w, balanced=balanced)
    places = [
        (d, p) for d in (Direction.INJECTION, Direction.WITHDRAWAL) for p in connection_points
    ]
    start = u = _limits_w(security)
    bound, away_w, refused = np.inf, FIRST_AWAY_W, 0
    for _ in range(ROUNDS):
        change, bound = program.solve(security, u.astype(float), away_w)
        whole = _whole(change, u, balanced=balanced)
        gained = program.worth(u + whole) - program.worth(u)
        still = gained <= _STILL * max(program.worth(u) - program.worth(start), 1.0)
        if (still and away_w == LEAST_AWAY_W) or refused == REFUSALS:
            break
        changes = [LimitChange(p, d, int(w)) for (d, p), w in zip(places, whole, strict=True) if w]
        if still or security.confirm(changes).secure:
            if not still:
                security.commit(changes)
                u = u + whole
            away_w, refused = max(away_w / _APART, LEAST_AWAY_W), 0
        else:
            away_w, refused = away_w * _APART, refused + 1
    return Attainable(program.worth(u) - program.worth(start), bound, u)


def remaining_bound(
    security: SecurityState,
    values: Sequence[LimitValue],
    capacity_w: int,
    *,
    balanced: bool = True,
) -> float:
    """Return what no change of the limits in force gains more than, in tick-watts.

    By weak duality, for the linear rows near these limits; arguments as in
    :func:`attainable_gain`.
    """
    program = _Program(values, capacity_w, balanced=balanced)
    return program.solve(security, _limits_w(security).astype(float))[1]


def _limits_w(security: SecurityState) -> IntArray:
    envelopes = security.envelopes()
    return np.concatenate([envelopes.injection_w, envelopes.withdrawal_w])


def _whole(change: FloatArray, u: IntArray, *, balanced: bool) -> IntArray:
    """Return a change in whole watts, balanced in each direction where it must be."""
    if not balanced:
        return np.maximum(np.floor(change), -u).astype(np.int64)
    parts = []
    for half in np.split(change, 2):
        whole = np.floor(half).astype(np.int64)
        # What floors give up goes to those that lost most by theirs.
        missing = round(float(half.sum())) - int(whole.sum())
        whole[np.argsort(whole - half)[:missing]] += 1
        parts.append(whole)
    return np.maximum(np.concatenate(parts), -u)
