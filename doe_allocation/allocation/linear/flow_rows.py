"""The exact rows of a linear network: the largest and smallest flows over a box of envelopes.

A flow is ``base + sum_i h_i p_i`` with every ``p_i`` anywhere in ``[-w_i, g_i]``.  Its largest
value is ``base + sum_i (h_i^+ g_i + h_i^- w_i)``, at a vertex of the box, and its smallest one has
the signs changed.  So "never beyond the limit" is one row ``A u <= b`` with ``A >= 0`` over
``u = (g, w)``, without any approximation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from doe_allocation.allocation.linear.operation import LinearOperation, without_voltages
from security_check.arrays import BoolArray, FloatArray, IndexArray, IntArray
from security_check.checking.verdict import Explanation, Verdict
from security_check.errors import InsecureError, Violation
from security_check.model.limits import InterfaceLimits
from security_check.operating_range.operating_point import OperatingPoint

SECURE_W = 1e-3
"""Watts by which a sum of many whole-watt limits may exceed a row by rounding."""

INTERFACE = "interface"
_FULL = 1e-6  # parts of a row's scale
NOTHING = 1e-12
"""Watts per watt: a smaller factor is rounding, a milliwatt of a gigawatt at most."""


@dataclass(frozen=True, slots=True)
class FlowRows:
    """Rows over the 2 c limits, in watts; r of them.

    Parameters
    ----------
    elements
        The element of each row: ``"branch:"`` and its name, or ``"interface"``.
    per_watt, base_w
        Shapes (r, c) and (r,): the quantity is ``base_w + per_watt @ power``.
    limit_w
        Shape (r,), its limit.
    sign
        Shape (r,), 1 where the limit is an upper one, -1 where it is a lower one.
    scale_w
        Shape (r,), > 0, what an excess is measured by: half the range of a branch's flow, or the
        limit at the interface.
    A, b
        Shapes (r, 2 c) and (r,): the limits u are secure where ``A u <= b``, A >= 0.
    """

    elements: tuple[str, ...]
    per_watt: FloatArray
    base_w: FloatArray
    limit_w: FloatArray
    sign: FloatArray
    scale_w: FloatArray
    A: FloatArray
    b: FloatArray

    @classmethod
    def of(cls, operation: LinearOperation, limits: InterfaceLimits) -> FlowRows:
        """Return the rows of every branch, upper limits first, then those of the interface.

        Flows have what conditional activations may add to them.
        The contracted band of voltages and their unbalance have no meaning in a linear network,
        and no effect.  Its reactive power is zero.

        Raises
        ------
        InsecureError
            When the contract does not allow a reactive power of zero.
        """
        _refuse_reactive(limits)
        network = operation.network
        h, total = operation.flow_per_watt, float(operation.setpoint_w.sum())
        base = network.ptdf @ operation.setpoint_w
        half = 0.5 * (network.upper_w - network.lower_w)
        names = tuple(f"branch:{name}" for name in network.branches)
        exchanged = [
            (sense, float(limit_w))
            for sense, limit_w in (
                (1.0, limits.injection_limit_w),
                (-1.0, limits.withdrawal_limit_w),
            )
            if limit_w is not None
        ]
        sense, most = (np.array([each[k] for each in exchanged]) for k in range(2))
        one = np.ones(len(operation.connection_points))
        per_watt = np.concatenate([h, h, sense[:, None] * one])
        largest, least = base + operation.above_w, base - operation.below_w
        base_w = np.concatenate([largest, least, sense * total])
        limit_w = np.concatenate([network.upper_w, network.lower_w, most])
        sign = np.concatenate([np.ones(len(h)), -np.ones(len(h)), np.ones(len(most))])
        per_watt = np.where(np.abs(per_watt) > NOTHING, per_watt, 0.0)
        toward = sign[:, None] * per_watt
        return cls(
            names + names + (INTERFACE,) * len(exchanged),
            per_watt,
            base_w,
            limit_w,
            sign,
            np.concatenate([half, half, np.maximum(most, 1.0)]),
            np.hstack([np.maximum(toward, 0.0), np.maximum(-toward, 0.0)]),
            sign * (limit_w - base_w),
        )

    def headroom_w(self, u: FloatArray | IntArray) -> FloatArray:
        """Return what is left of each row in the box u, shape (r,), watts."""
        left: FloatArray = self.b - self.A @ u
        return left

    def full(self, headroom_w: FloatArray) -> BoolArray:
        """Return the rows in which not every limit that takes part has room for a watt more."""
        stopped: BoolArray = headroom_w <= self.A.sum(axis=1) + _FULL * self.scale_w
        return stopped

    def vertex(self, row: int, u: FloatArray | IntArray) -> OperatingPoint:
        """Return the worst vertex of a row; who does not take part is shown idle."""
        toward = self.sign[row] * self.per_watt[row]
        injection, withdrawal = np.split(np.asarray(u, dtype=float), 2)
        idle = np.where(toward < 0.0, -withdrawal, 0.0)
        return without_voltages(np.where(toward > 0.0, injection, idle))

    def verdict(self, u: FloatArray | IntArray, rows: IndexArray | None = None) -> Verdict:
        """Return the verdict on the box u: that of its fullest row, or of the fullest of some."""
        excess = -self.headroom_w(u)
        some = np.arange(len(excess)) if rows is None else rows
        if not len(some):
            return Verdict(True, "", 0.0, 0.0, "", 0.0)
        parts = excess[some] / self.scale_w[some]
        over = excess[some] > SECURE_W
        k = int(some[np.where(over | ~over.any(), parts, -np.inf).argmax()])
        return Verdict(
            secure=bool(excess[k] <= SECURE_W),
            element=self.elements[k],
            value=float(self.limit_w[k] + self.sign[k] * excess[k]),
            limit=float(self.limit_w[k]),
            unit="W",
            loading=1.0 + float(excess[k] / self.scale_w[k]),
            circumstances=str(self.vertex(k, u)),
        )

    def violations(self, u: FloatArray | IntArray) -> tuple[Violation, ...]:
        """Return every limit that the box u breaks, the worst first."""
        excess = -self.headroom_w(u)
        order = np.argsort(-excess / self.scale_w, kind="stable")
        return tuple(
            Violation(
                self.elements[k],
                float(self.limit_w[k] + self.sign[k] * excess[k]),
                float(self.limit_w[k]),
                "W",
            )
            for k in order.tolist()
            if excess[k] > SECURE_W
        )

    def explanation(self, row: int, u: FloatArray | IntArray, proof: str) -> Explanation:
        """Return the worst case of a row."""
        verdict = self.verdict(u, np.array([row]))
        return Explanation(verdict, self.vertex(row, u), row, verdict.value, proof)


def _refuse_reactive(limits: InterfaceLimits) -> None:
    low, high = limits.reactive_min_var, limits.reactive_max_var
    if (low is None or low <= 0) and (high is None or high >= 0):
        return
    limit = low if low is not None and low > 0 else high
    raise InsecureError(
        INTERFACE,
        f"the reactive power of a linear network is 0 var, but the limit is {limit:,} var",
    )
