"""The certificate as a document that another program can check without ours.

The document has everything that the proof rests on: the admittance, where power enters, what is
limited, the envelopes, and the splits of their box.  Its format, and what a checker has to verify,
are described in docs/certificate.md; ``tools/check_certificate.py`` is such a checker.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from security_check.arrays import ComplexArray, FloatArray, IndexArray, IntArray
from security_check.model.element import USUAL
from security_check.model.network import Network
from security_check.monitoring.row_kinds import OF_INTERFACE, RowKind
from security_check.verification.box_steps import BoundNode
from security_check.verification.branch_and_bound import RowBounds
from security_check.verification.enclosure import PortModel
from security_check.verification.monotonicity import ProofStatus
from security_check.verification.solution_boxes import ProofModel
from security_check.verification.solution_cover import CoverNode
from security_check.verification.splitting import ROUNDING, SplitProof, not_split, split_rows
from security_check.verification.state_rows import NOT_COVERED, StateRows, rows_by_state
from security_check.worst_case.robust_rows import RobustRows

Document = dict[str, Any]

_KINDS = {each: each.name.lower() for each in RowKind} | {RowKind.CURRENT_EXPORT: "current"}
_FIXED = ("low", "high")  # the end that a variable is fixed at
FORMAT = "doe-exchange certificate 1"
_MORE = 20.0  # times the effort of a proof without a document


def sealed(content: Mapping[str, Any]) -> str:
    """Return the text of a certificate: its content, with the checksum of the content's text."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f'{{"checksum":"{digest}","content":{text}}}\n'


def envelopes_of(points: Sequence[str], limits_w: IntArray) -> Document:
    """Return envelopes by connection point; limits of shape (2 c,), watts, injection first."""
    injection, withdrawal = np.split(np.asarray(limits_w), 2)
    return {
        point: {"injection_w": int(up), "withdrawal_w": int(down)}
        for point, up, down in zip(points, injection, withdrawal, strict=True)
    }


def parts_of(robust: RobustRows, limits_w: IntArray) -> list[Document]:
    """Return the proofs of one network's envelopes in one interval, one for each of its states.

    Parameters
    ----------
    robust
        The network's rows under the interval's limits; c connection points.
    limits_w
        Shape (2 c,), watts, injection first.

    Raises
    ------
    PowerFlowError
        When the power flow without customers has no solution.
    """
    network = robust.conditions.network
    states = rows_by_state(robust)
    if not states:
        return [_unproved(StateRows(USUAL, robust), NOT_COVERED)]
    u = np.asarray(limits_w) / network.base_power_w
    return [_of_state(each, u) for each in states]


def _of_state(each: StateRows, u: FloatArray) -> Document:
    """Return the proof of one state of a network."""
    robust = each.robust
    conditions, limits = robust.conditions, robust.limits
    network = conditions.network
    if reason := not_split(conditions):
        return _unproved(each, reason)
    rows = _checked_rows(network)
    chosen = rows[np.isfinite(limits.limit[rows])]
    split = split_rows(PortModel(network), conditions, u, limits, chosen, _MORE, curved=True)
    if split.bounds is None:
        return _unproved(each, split.cover.reason)
    described, digest = described_network(network, split.model)
    return {
        "state": str(each.state),
        "connection_points": list(network.connection_points),
        "network": described,
        "network_hash": digest,
        "band_pu": list(conditions.band),
        **_proof(split, split.bounds, robust),
    }


def _unproved(each: StateRows, reason: str) -> Document:
    """Return the part of a certificate of a network whose rows are all only checked."""
    robust = each.robust
    return {
        "state": str(each.state),
        "connection_points": list(robust.conditions.network.connection_points),
        "reason": reason,
        "rows": [_row(robust, int(row), ProofStatus.CHECKED) for row in robust.limited],
    }


def without_proof(part: Document, reason: str) -> Document:
    """Return a part of a certificate whose proof does not count, for a reason."""
    kept = {key: part[key] for key in ("state", "connection_points")}
    found = {"worst": None, "value": None, "bound": None, "standing": str(ProofStatus.CHECKED)}
    return kept | {"reason": reason, "rows": [row | found for row in part["rows"]]}


def _checked_rows(network: Network) -> IndexArray:
    """Return the first row of each quantity, in the order of docs/certificate.md."""
    buses, ends = len(network.voltages.elements), len(network.terminals.elements)
    interface = 2 * buses + 2 * ends + np.arange(len(OF_INTERFACE))
    rows: IndexArray = np.concatenate([np.arange(2 * buses + ends), interface])
    return rows


def described_network(network: Network, model: ProofModel) -> tuple[Document, str]:
    """Return a network as a certificate has it, and the hash of its text."""
    described = {
        "name": network.name,
        "base_power_w": network.base_power_w,
        "nodes": list(network.nodes),
        "admittance": _entries(network.admittance),
        "held": _entries(_held(network)),
        "ports": _entries(network.ports.incidence),
        "power": _entries(sp.csr_array(model.power)),
        "standing_pu": _numbers(model.standing),
        "voltages": list(network.voltages.elements),
        "terminals": list(network.terminals.elements),
        "phasor_of": _entries(
            sp.vstack([network.voltages.incidence, network.terminals.admittance])
        ),
    }
    text = json.dumps(described, allow_nan=False, separators=(",", ":"))
    return described, hashlib.sha256(text.encode()).hexdigest()


def _held(network: Network) -> sp.csr_array:
    """Return the voltages of the nodes of the interface at 1 p.u., (n, 1); zero elsewhere."""
    nodes, phasors = network.interface.nodes, network.interface.phasors.sum(axis=1)
    places = nodes, np.zeros(len(nodes), dtype=np.int64)
    return sp.csr_array((phasors, places), shape=(len(network.nodes), 1))


def _proof(split: SplitProof, bounds: RowBounds, robust: RobustRows) -> Document:
    """Return the rows with their worst points, and the boxes that prove them."""
    targets = split.targets
    secure = bounds.bound <= targets.limit + ROUNDING * np.abs(targets.limit)
    proved = {int(k) for k in np.flatnonzero(secure)}
    rows = []
    for k, row in enumerate(split.rows.tolist()):
        if k not in proved:
            rows.append(_row(robust, row, _left_open(float(bounds.bound[k]))))
            continue
        point, value = bounds.point[k].tolist(), float(bounds.value[k])
        found = {"worst": point, "value": value, "bound": float(bounds.bound[k])}
        rows.append(_row(robust, row, ProofStatus.PROVED) | found)
    unbalanced = np.flatnonzero(robust.monitors.kind == RowKind.UNBALANCE)
    limited = unbalanced[np.isfinite(robust.limits.limit[unbalanced])]
    rows += [_row(robust, row, ProofStatus.CHECKED) for row in limited.tolist()]
    roots = iter(bounds.roots)
    return {
        "rows": rows,
        "way": _covered(split.cover.way, None, proved),
        "cover": _covered(split.cover.root, roots, proved),
    }


def _row(robust: RobustRows, row: int, standing: ProofStatus) -> Document:
    """Return a row of which nothing is stated but its limit."""
    return {
        "element": robust.element(row),
        "kind": _KINDS[robust.monitors.kind[row]],
        "limit": float(robust.limits.limit[row]),
        "standing": str(standing),
        "worst": None,
        "value": None,
        "bound": None,
    }


def _left_open(bound: float) -> ProofStatus:
    return ProofStatus.WITHIN if np.isfinite(bound) else ProofStatus.CHECKED


def _covered(node: CoverNode, roots: Iterator[BoundNode] | None, proved: set[int]) -> list[Any]:
    """Return what replaces a box of the cover: its halves, or the steps of a closed box."""
    if node.parts:
        parts = [_covered(part, roots, proved) for part in node.parts]
        return [[sorted(proved), [[node.variable, "split"]], parts]]
    return [] if roots is None else _steps(next(roots), proved)


def _steps(node: BoundNode, proved: set[int]) -> list[Any]:
    """Return what replaces a box, for the rows that are proved in the end."""
    found: list[Any] = []
    for step in node.steps:
        rows = [row for row in step.rows if row in proved]
        if not rows:
            continue
        if step.peak is not None:
            found.append([rows, step.peak.tolist(), "peak"])
            continue
        ends = [_FIXED[side] for side in step.sides] or [step.kind]
        how = [list(pair) for pair in zip(step.variables, ends, strict=True)]
        found.append([rows, how, [_steps(part, proved) for part in step.parts]])
    return found


def _entries(matrix: sp.csr_array) -> Document:
    """Return a sparse matrix as lists of rows, columns and entries, real and imaginary."""
    whole = sp.csr_array(matrix)
    whole.sum_duplicates()
    entries = whole.tocoo()
    return {
        "shape": list(entries.shape),
        "row": entries.row.tolist(),
        "column": entries.col.tolist(),
        "entry": _numbers(entries.data),
    }


def _numbers(values: ComplexArray | FloatArray) -> list[list[float]]:
    """Return numbers as pairs of a real and an imaginary part."""
    return [[each.real, each.imag] for each in np.asarray(values, dtype=complex).tolist()]
