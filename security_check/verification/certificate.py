"""The certificate of published envelopes: the proof of each row and of the whole set.

A row is *proved* where its worst vertex is shown to be the worst point of the whole box and
voltage band, *proved below its limit* where it cannot reach the limit anywhere, *proved within* a
gap where it can exceed its value by at most the gap.  All others are *only checked*, by the search
for worst points and by the adversary (:mod:`security_check.verification.monotonicity`,
docs/proof.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from security_check.arrays import FloatArray, IndexArray
from security_check.checking.check import SecurityCheck
from security_check.checking.verdict import Explanation, quantity
from security_check.errors import InsecureError, ProofError
from security_check.model.element import State
from security_check.monitoring.monitors import Monitors
from security_check.monitoring.row_kinds import RowKind
from security_check.verification.enclosure import PortModel
from security_check.verification.monotonicity import MonotonicityProof, ProofStatus, prove_monotone
from security_check.verification.radial_condition import RadialTree, radial_tree
from security_check.verification.splitting import SplitProof, by_splitting, largest_breach
from security_check.verification.state_rows import NOT_COVERED, StateRows, rows_by_state
from security_check.worst_case.ascent import REFINED
from security_check.worst_case.robust_rows import RobustRows

# Parts of a row's scale.
_SAME = 1e-7  # differences from rounding limits down to whole watts
_ROUNDING = REFINED + _SAME  # by which the stated value of a row may be too large
_LARGEST_TREE = 2_000  # nodes: the recursion along a tree takes the square of their number

THIS_WAY = "proved for this way of flow"
"""The current in this direction is worst at the vertex named; in the other it is larger."""


@dataclass(frozen=True, slots=True)
class SecurityCertificate:
    """The proof of a set of envelopes.

    Parameters
    ----------
    standing
        Number of monitored rows by their status.
    secure
        Whether every row is proved not to exceed its limit anywhere.
    reason
        Why rows are only checked; empty where none is.
    explanations
        The elements at their limits, each with its proof.
    points_tried
        Power flows with which an adversary tried to refute what is not proved, in vain.
    """

    standing: dict[ProofStatus, int]
    secure: bool
    reason: str
    explanations: tuple[Explanation, ...]
    points_tried: int = 0

    @classmethod
    def joined(cls, parts: Sequence[SecurityCertificate]) -> SecurityCertificate:
        """Return the certificate of electrically separate parts together."""
        counted = sum((Counter(part.standing) for part in parts), Counter[ProofStatus]())
        return cls(
            {standing: counted[standing] for standing in ProofStatus},
            all(part.secure for part in parts),
            next((part.reason for part in parts if part.reason), ""),
            tuple(found for part in parts for found in part.explanations),
            sum(part.points_tried for part in parts),
        )

    def in_order_of(self, explanations: Sequence[Explanation]) -> SecurityCertificate:
        """Return the certificate with its explanations in the order of others of the same rows."""
        own = {each.row: each for each in self.explanations}
        return replace(self, explanations=tuple(own[each.row] for each in explanations))


class Prover:
    """Proves envelopes of one network, factorised once in each state, as far as possible."""

    def __init__(self) -> None:
        self._models: dict[State, tuple[PortModel, RadialTree | None]] = {}

    def _model(self, each: StateRows) -> tuple[PortModel, RadialTree | None]:
        if each.state not in self._models:
            model = PortModel(each.network)
            tree = radial_tree(model) if len(each.network.nodes) <= _LARGEST_TREE else None
            self._models[each.state] = model, tree
        return self._models[each.state]

    def prove(self, check: SecurityCheck) -> SecurityCertificate:
        """Return the certificate of the envelopes in force, of all states of the network.

        Raises
        ------
        InsecureError
            When a point of the envelopes is found that is beyond a limit; names the element.
        PowerFlowError
            When the power flow is singular at a point of the envelopes.
        ProofError
            When the power flow exceeds a proved bound.
        """
        robust = check.robust_rows
        explanations = check.explanations()
        states = rows_by_state(robust)
        if not states:
            return _only_checked(explanations, len(robust.limited), NOT_COVERED)
        u = check.limits_w / robust.conditions.network.base_power_w
        return SecurityCertificate.joined(
            [self._of_state(each, robust, u, explanations) for each in states],
        ).in_order_of(explanations)

    def _of_state(
        self,
        each: StateRows,
        robust: RobustRows,
        u: FloatArray,
        explanations: Sequence[Explanation],
    ) -> SecurityCertificate:
        """Return the certificate of the rows of one state, with their explanations."""
        (model, tree), alone = self._model(each), each.robust
        found = prove_monotone(model, alone.conditions, u, alone.limits.limit, tree)
        found, split = by_splitting(found, model, alone.conditions, u, alone.limits)
        if split is not None:
            _refuse_breach(each, robust, split)
        standing = Counter(found.standing[row] for row in alone.limited)
        return SecurityCertificate(
            {status: standing[status] for status in ProofStatus},
            bool(found.secure[alone.limited].all()),
            found.reason,
            tuple(
                replace(explained, proof=_in_words(explained, found, each))
                for explained in explanations
                if each.holds(explained.row)
            ),
        )


def _refuse_breach(each: StateRows, robust: RobustRows, split: SplitProof) -> None:
    """Raise the largest breach that splitting found in a state, if there is one."""
    breach = largest_breach(split)
    if breach is None:
        return
    own, value, x = breach
    row = each.first + own
    network = robust.conditions.network
    shown, limit, unit = robust.monitors.describe(row, value, robust.limits)
    count = len(network.connection_points)
    powers = zip(network.connection_points, x[:count] * network.base_power_w, strict=True)
    where = ", ".join(f"{point} at {power_w:,.0f} W" for point, power_w in powers)
    violation = float(robust.violation(np.array([row]), np.array([value]))[0])
    raise InsecureError(
        robust.element(row),
        f"not secure: it reaches {quantity(shown, unit)} (limit {quantity(limit, unit)}) with "
        f"{where} and {x[-1]:.6g} p.u. at the interface, found while proving",
        violation,
    )


def rows_beside(monitors: Monitors, row: int) -> IndexArray:
    """Return the rows that watch the same quantity as a row, itself included.

    Several rows watch one current, each in a half plane of its own; only together do they bound
    it.
    """
    currents = np.isin(monitors.kind, (RowKind.CURRENT_EXPORT, RowKind.CURRENT_IMPORT))
    if not currents[row]:
        return np.array([row])
    return np.flatnonzero(currents & (monitors.phasor == monitors.phasor[row]))


def _in_words(each: Explanation, found: MonotonicityProof, own: StateRows) -> str:
    """Return the proof of the quantity of an explanation's row, in words.

    Raises
    ------
    ProofError
        When the power flow exceeds a proved bound.
    """
    robust, row = own.robust, each.row - own.first
    monitors = robust.monitors
    assert isinstance(monitors, Monitors)
    scale = float(robust.limits.scale[row])
    rows = rows_beside(monitors, row)
    this_way = rows[monitors.kind[rows] == monitors.kind[row]]
    gap = (float(found.bound[rows].max()) - each.value_pu) / scale
    if gap < -_ROUNDING:
        raise ProofError(
            f"{each.verdict.element}: the power flow reaches {each.value_pu:.9g} per unit, "
            f"but its proved bound is {found.bound[rows].max():.9g}; one of the two is wrong"
        )
    if gap <= _SAME:
        return str(ProofStatus.PROVED)
    if (float(found.bound[this_way].max()) - each.value_pu) / scale <= _SAME:
        return THIS_WAY
    if found.secure[rows].all():
        return str(ProofStatus.BELOW)
    if np.isfinite(gap):
        return f"proved within {100 * gap:.2g} %"
    return f"{ProofStatus.CHECKED}: {found.reason}"


def _only_checked(
    explanations: Sequence[Explanation], rows: int, reason: str
) -> SecurityCertificate:
    standing = {each: rows if each is ProofStatus.CHECKED else 0 for each in ProofStatus}
    words = f"{ProofStatus.CHECKED}: {reason}"
    return SecurityCertificate(
        standing, False, reason, tuple(replace(e, proof=words) for e in explanations)
    )
