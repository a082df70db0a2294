"""The certificate as a document that another program can check without ours.

The document has everything that the proof rests on: the admittance, where power enters, what is
limited, the envelopes, and the splits of their box.  Its format, and what a checker has to verify,
are described in docs/certificate.md; ``tools/check_certificate.py`` is such a checker.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from security_check.arrays import ComplexArray, FloatArray, IntArray
from security_check.errors import PowerFlowError
from security_check.model.network import Network
from security_check.monitoring.monitors import Monitors
from security_check.monitoring.row_kinds import OF_INTERFACE, RowKind
from security_check.monitoring.row_limits import RowLimits
from security_check.operating_range.conditions import OperatingConditions
from security_check.verification.branch_and_bound import BoundNode
from security_check.verification.enclosure import PortModel
from security_check.verification.solution_cover import CoverNode
from security_check.verification.splitting import SplitProof, not_split, split_rows
from security_check.worst_case.robust_rows import RobustRows

Document = dict[str, Any]

FORMAT = "doe-exchange certificate 1"
NOT_COVERED = "networks with generators or outages are not covered by the proof"
_MORE = 20.0  # times the effort of a proof that nobody is to check
_ROUNDING = 1e-9  # part of a limit


def sealed(content: Mapping[str, Any]) -> str:
    """Return the text of a certificate: its content, with the checksum of the content's text."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f'{{"checksum":"{digest}","content":{text}}}\n'


def part_of(robust: RobustRows, limits_w: IntArray) -> Document:
    """Return the proof of one electrically connected network's envelopes in one interval.

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
    monitors, conditions, limits = robust.monitors, robust.conditions, robust.limits
    network = conditions.network
    injection, withdrawal = np.split(np.asarray(limits_w), 2)
    envelopes = [
        {"connection_point": point, "injection_w": int(up), "withdrawal_w": int(down)}
        for point, up, down in zip(network.connection_points, injection, withdrawal, strict=True)
    ]
    covered = isinstance(monitors, Monitors) and network.generators is None
    reason = not_split(conditions) if covered else NOT_COVERED
    if reason:
        count = len(robust.limited)
        return {"envelopes": envelopes, "reason": reason, "only_checked": count}
    described = _network(network, conditions)
    text = json.dumps(described, allow_nan=False, separators=(",", ":"))
    rows = _checked_rows(network)
    limited = np.isfinite(limits.limit[rows])
    chosen = rows[limited]
    u = np.asarray(limits_w) / network.base_power_w
    split = split_rows(PortModel(network), conditions, u, limits, chosen, _MORE)
    unbalance = np.isfinite(limits.limit[robust.monitors.kind == RowKind.UNBALANCE]).sum()
    return {
        "envelopes": envelopes,
        "network": described,
        "network_hash": hashlib.sha256(text.encode()).hexdigest(),
        "band_pu": list(conditions.band),
        "limits_pu": _limits(network, limits),
        "only_checked": int(unbalance),
        **_proof(split, robust),
    }


def _checked_rows(network: Network) -> FloatArray:
    """Return the first row of each quantity, in the order of docs/certificate.md."""
    buses, ends = len(network.voltages.elements), len(network.terminals.elements)
    interface = 2 * buses + 2 * ends + np.arange(len(OF_INTERFACE))
    rows: FloatArray = np.concatenate([np.arange(2 * buses + ends), interface])
    return rows


def _network(network: Network, conditions: OperatingConditions) -> Document:
    model = PortModel(network)
    power = _variables(model, conditions)
    return {
        "name": network.name,
        "base_power_w": network.base_power_w,
        "nodes": list(network.nodes),
        "admittance": _entries(network.admittance),
        "held_nodes": network.interface.nodes.tolist(),
        "held_pu": _numbers(network.interface.phasors.sum(axis=1)),
        "ports": _entries(network.ports.incidence),
        "power": _entries(power),
        "standing_pu": _numbers(conditions.port_powers(np.zeros((power.shape[1] - 1, 0)))[:, 0])
        if False
        else _numbers(_standing(conditions)),
        "connection_points": list(network.connection_points),
        "voltages": list(network.voltages.elements),
        "voltage_of": _entries(network.voltages.incidence),
        "terminals": [
            f"{element} {side}".strip()
            for element, side in zip(
                network.terminals.elements, network.terminals.sides, strict=True
            )
        ],
        "current_of": _entries(network.terminals.admittance),
    }
