"""Radial networks: the customers with whose power all voltages rise, everywhere in a box.

A balanced tree in the DistFlow form (Baran and Wu 1989), directed to the interface.  Node m
sends ``S_m`` into the branch to its parent, of impedance ``z_m``; with ``v = |V|^2`` and the
losses ``l_m = |S_m|^2 / v_m``, vectors being (active, reactive), a the shunt at a node and
``a* v`` its power,

    S_m = s_m - a*_m v_m + sum over children c of (S_c - z_c l_c)
    v_m = v_parent + z_m' (S_m + (S_m - z_m l_m))

Differentiated, the power that arrives at the parent is ``A_m dS_m + z_m (l_m/v_m) dv_m`` with the
2x2 matrix

    A_m = I - (2/v_m) z_m S_m'                                                         (1)

of Gan, Li, Topcu and Low (2015), "Exact convex relaxation of optimal power flow in radial
networks", IEEE Trans. Automatic Control 60(1).  Let the row ``R_km`` be the effect on ``v_k`` of
power injected at node m as far as it passes along the path of m, losses following flows but not
voltages.  It is zero at the interface and, down the tree, a sum of products of the A along paths,

    R_km = R_k,parent(m) A_m + [m on the path of k] z_m' (I + A_m)                     (2)

Losses and shunts answer to the voltages, too, so that for an injection of direction e at node i

    dv_k = R_ki e + sum_m N_km dv_m                                                    (3)
    N_km = (l_m/v_m) (R_k,parent(m) z_m + [m on the path of k] |z_m|^2) + R_km (-G_m, B_m)'

Their condition C1 requires that products of the A, evaluated with the worst flows, times ``z_m`` be
positive, which makes the first term of N positive.  It does not cover injections without reactive
power, nor shunts, and is neither necessary nor sufficient here; (3) itself is checked.  With R, N
and flows enclosed over the box, ``N- = max(-N, 0)`` and y a bound of ``|dv|``,

    R_ki e >= sum_m N-_km y_m  for all k     implies     dv_k >= 0 for all k           (4)

since the negative part n of dv then obeys ``n <= N+ n`` and ``|N|`` is a contraction.

Transformer ratios and phase shifts are removed by scaling each node's voltage; the remainder is a
shunt.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from security_check.arrays import BoolArray, ComplexArray, FloatArray, IndexArray
from security_check.verification.enclosure import Enclosure, PortModel

_ROUNDING = 1e-10  # per unit, or part of an effect: far above rounding errors
_RECIPROCAL = 1e-6  # part of an admittance: largest difference of its size in both directions

Range = tuple[FloatArray, FloatArray]
"""Lower and upper ends of intervals."""


@dataclass(frozen=True, slots=True)
class RadialTree:
    """A radial balanced network in the DistFlow form; n nodes, the interface first.

    Parameters
    ----------
    order
        Shape (n,), indices of the network's nodes; parents come before children.
    parent
        Shape (n,), positions; -1 for the interface.
    impedance
        Shape (n,), complex, of the branch to the parent; 0 for the interface.
    shunt
        Shape (n,), complex admittance.
    above
        Shape (n, n): whether the second node is on the path of the first, itself included.
    injection
        Shape (n, c), complex: powers of customers entering at nodes, ``injection @ p``.
    entering
        Shape (n, J): the incidence of ports at nodes.
    voltage_response, voltage_fixed
        Shapes (n, J) and (n,): scaled voltages are ``voltage_response @ i + voltage_fixed v0``.
    current_response, current_fixed
        The same of the current into the branch to the parent.
    """

    order: IndexArray
    parent: IndexArray
    impedance: ComplexArray
    shunt: ComplexArray
    above: BoolArray
    injection: ComplexArray
    entering: sp.csr_array
    voltage_response: ComplexArray
    voltage_fixed: ComplexArray
    current_response: ComplexArray
    current_fixed: ComplexArray


@dataclass(frozen=True, slots=True)
class _Flows:
    """Enclosed over a box, per node: 2 P/v, 2 Q/v, and l/v; shape (n,) each."""

    active: Range
    reactive: Range
    loss: Range


@dataclass(frozen=True, slots=True)
class VoltageEffects:
    """Equation (3) over a box, for all c + 1 variables (the interface voltage last).

    ``dv = direct + feedback dv`` for the squares v of all nodes' scaled voltages; for the
    interface voltage ``d(v0^2)`` is meant.

    Parameters
    ----------
    direct
        Shape (n, c + 1).
    feedback
        Shape (n, n).
    """

    direct: Range
    feedback: Range


def radial_tree(model: PortModel) -> RadialTree | None:
    """Return the network as a tree; None where it is not a balanced tree."""
    network = model.network
    incidence = network.ports.incidence
    balanced = network.interface.nodes.shape == (1,) and _picks(sp.csr_array(incidence.T))
    if not balanced or not _picks(network.voltages.incidence):
        return None
    admittance = sp.csr_array(network.admittance)
    found = _ordered(admittance, int(network.interface.nodes[0]))
    if found is None:
        return None
    order, parent = found
    dense = admittance[order][:, order].toarray()
    scale = _scales(dense, parent, np.abs(model.node_profile[order]))
    if scale is None:
        return None
    scaled = scale.conj()[:, None] * dense * scale[None, :]
    child = np.arange(1, len(order))
    series = np.zeros(len(order), dtype=np.complex128)
    series[1:] = -scaled[child, parent[1:]]
    above = np.eye(len(order), dtype=bool)
    for m in child:
        above[m] |= above[parent[m]]
    response = model.node_response[order] / scale[:, None]
    fixed = model.node_profile[order] / scale
    upper = np.maximum(parent, 0)
    entering = sp.csr_array(incidence)[order]
    return RadialTree(
        order=order,
        parent=parent,
        impedance=np.concatenate([[0.0], 1.0 / series[1:]]),
        shunt=scaled.sum(axis=1),
        above=above,
        injection=(entering @ network.point_ports).toarray(),
        entering=entering,
        voltage_response=response,
        voltage_fixed=fixed,
        current_response=series[:, None] * (response - response[upper]),
        current_fixed=series * (fixed - fixed[upper]),
    )


def _picks(incidence: sp.csr_array) -> bool:
    """Return whether every row has a single entry, which is one."""
    counts = np.diff(sp.csr_array(incidence).indptr)
    return bool((counts == 1).all() and (incidence.data == 1.0).all())


def _ordered(admittance: sp.csr_array, root: int) -> tuple[IndexArray, IndexArray] | None:
    """Return nodes from the root on and each one's parent's position; None where not a tree."""
    pattern = sp.csr_array(abs(admittance) + abs(admittance).T)
    nodes = pattern.shape[0]
    edges = pattern.nnz - np.count_nonzero(pattern.diagonal())
    order, before = sp.csgraph.breadth_first_order(pattern, root, directed=False)
    if edges != 2 * (nodes - 1) or len(order) != nodes:
        return None
    position = np.empty(nodes, dtype=np.int64)
    position[order] = np.arange(nodes)
    parent = np.concatenate([[-1], position[before[order[1:]]]])
    return order.astype(np.int64), parent


def _scales(dense: ComplexArray, parent: IndexArray, size: FloatArray) -> ComplexArray | None:
    """Return the factors of nodes' voltages that make every branch reciprocal, or None."""
    scale = np.ones(len(parent), dtype=np.complex128)
    for m in range(1, len(parent)):
        j = parent[m]
        down, up = dense[j, m], dense[m, j]
        if not abs(abs(down) - abs(up)) <= _RECIPROCAL * abs(down):
            return None
        turn = np.sqrt(up / down * abs(down) / abs(up)) * scale[j] / abs(scale[j])
        series = -1.0 / (scale[j].conjugate() * down * turn)
        scale[m] = size[m] * (turn if series.real >= 0.0 else -turn)
    return scale


def rising_voltages(tree: RadialTree, enclosure: Enclosure) -> BoolArray:
    """Return the variables with which no voltage falls anywhere in a closed box, (c + 1,).

    Parameters
    ----------
    tree
        n nodes, c connection points.
    enclosure
        The enclosure of one box; the last variable is the interface voltage.

    Notes
    -----
    The cost is n steps with arrays of n numbers, and products of n x n matrices.
    """
    effects = voltage_effects(tree, enclosure)
    low, high = effects.direct
    size = np.maximum(np.abs(low), np.abs(high))
    largest = np.maximum(np.abs(effects.feedback[0]), np.abs(effects.feedback[1]))
    ones = np.ones((len(largest), 1))
    found = np.linalg.solve(np.eye(len(largest)) - largest, np.hstack([ones, size]))
    # A positive y with |N| y < y is what makes |N| a contraction; only then y bounds |dv|.
    test, y = found[:, :1], found[:, 1:] * (1.0 + 1e-6)
    if not ((test > 0.0).all() and (largest @ test < test).all()):
        return np.zeros(size.shape[1], dtype=bool)
    against = np.maximum(-effects.feedback[0], 0.0) @ y
    return np.asarray((low >= against + _ROUNDING * size).all(axis=0))


def voltage_effects(tree: RadialTree, enclosure: Enclosure) -> VoltageEffects:
    """Enclose equation (3) over a closed box; it is exact where the box is a point."""
    flows = _flows(tree, enclosure)
    low, high = _effects(tree, flows)
    return VoltageEffects(_direct(tree, low, high), _feedback(tree, flows, low, high))


def _flows(tree: RadialTree, enclosure: Enclosure) -> _Flows:
    """Enclose flows: the power entering below a branch, less the losses and shunts there."""
    centre, half = enclosure.middle[:, 0], enclosure.half[:, 0]
    voltage, radius = _disc(tree.voltage_response, tree.voltage_fixed, enclosure)
    lowest = np.maximum(np.abs(voltage) - radius, 1e-6) ** 2
    highest = (np.abs(voltage) + radius) ** 2
    current, spread = _disc(tree.current_response, tree.current_fixed, enclosure)
    loss = np.maximum(np.abs(current) - spread, 0.0) ** 2, (np.abs(current) + spread) ** 2
    passive = tree.entering @ enclosure.passive_power_pu
    entering: ComplexArray = np.asarray(tree.injection @ centre[:-1] + passive)
    active = _around(entering.real, np.abs(tree.injection.real) @ half[:-1])
    reactive = _around(entering.imag, np.abs(tree.injection.imag) @ half[:-1])
    active = _less(active, _scaled(tree.shunt.real, (lowest, highest)))
    reactive = _less(reactive, _scaled(-tree.shunt.imag, (lowest, highest)))
    below = tree.above.T
    strictly = below & ~np.eye(len(below), dtype=bool)
    flows = []
    for power, part in ((active, tree.impedance.real), (reactive, tree.impedance.imag)):
        lost = _scaled(part, loss)
        sent = _less((below @ power[0], below @ power[1]), (strictly @ lost[0], strictly @ lost[1]))
        flows.append(
            (
                2.0 * np.minimum(sent[0] / lowest, sent[0] / highest),
                2.0 * np.maximum(sent[1] / lowest, sent[1] / highest),
            )
        )
    return _Flows(flows[0], flows[1], (loss[0] / highest, loss[1] / lowest))


def _disc(
    response: ComplexArray, fixed: ComplexArray, enclosure: Enclosure
) -> tuple[ComplexArray, FloatArray]:
    centre = response @ enclosure.current[:, 0] + fixed * enclosure.middle[-1, 0]
    radius = np.abs(response) @ enclosure.current_radius[:, 0]
    radius += np.abs(fixed) * enclosure.half[-1, 0] + _ROUNDING
    return centre, radius


def _around(centre: FloatArray, half: FloatArray) -> Range:
    return centre - half, centre + half


def _less(first: Range, second: Range) -> Range:
    return first[0] - second[1], first[1] - second[0]


def _scaled(factor: FloatArray, of: Range) -> Range:
    one, other = factor * of[0], factor * of[1]
    return np.minimum(one, other), np.maximum(one, other)


def _times(first: Range, low: float, high: float) -> Range:
    """Return products of intervals with one interval."""
    ends = (first[0] * low, first[0] * high, first[1] * low, first[1] * high)
    return np.minimum.reduce(ends), np.maximum.reduce(ends)


def _effects(tree: RadialTree, flows: _Flows) -> Range:
    """Enclose R of (2), shape (2, n, n): of power at the first node on the second's voltage."""
    count = len(tree.parent)
    low, high = np.zeros((2, count, count)), np.zeros((2, count, count))
    sizes = np.abs(tree.impedance) ** 2
    for m in range(1, count):
        r, x = tree.impedance[m].real, tree.impedance[m].imag
        j, passed = tree.parent[m], tree.above[:, m]
        one = _scaled(np.full(count, r), (low[0, j], high[0, j]))
        other = _scaled(np.full(count, x), (low[1, j], high[1, j]))
        # R A = R - (R z) (2 S'/v), and the own branch adds 2 z - |z|^2 (2 S'/v).
        along = (one[0] + other[0] + passed * sizes[m], one[1] + other[1] + passed * sizes[m])
        for part, (z, flow) in enumerate(((r, flows.active), (x, flows.reactive))):
            lost = _times(along, flow[0][m], flow[1][m])
            low[part, m] = low[part, j] + 2.0 * z * passed - lost[1]
            high[part, m] = high[part, j] + 2.0 * z * passed - lost[0]
    return low, high


def _feedback(tree: RadialTree, flows: _Flows, low: FloatArray, high: FloatArray) -> Range:
    """Enclose N of (3), shape (n, n), without the interface, whose voltage is given."""
    upper = np.maximum(tree.parent, 0)
    r, x = tree.impedance.real[:, None], tree.impedance.imag[:, None]
    one = _scaled(r, (low[0, upper], high[0, upper]))
    other = _scaled(x, (low[1, upper], high[1, upper]))
    own = tree.above.T * (np.abs(tree.impedance) ** 2)[:, None]
    passed = one[0] + other[0] + own, one[1] + other[1] + own
    # The loss is not negative, so each end takes its sign from the effect.
    least, most = flows.loss[0][:, None], flows.loss[1][:, None]
    lossy = (
        np.minimum(passed[0] * least, passed[0] * most),
        np.maximum(passed[1] * least, passed[1] * most),
    )
    active = _scaled(-tree.shunt.real[:, None], (low[0], high[0]))
    reactive = _scaled(tree.shunt.imag[:, None], (low[1], high[1]))
    total = [lossy[end] + active[end] + reactive[end] for end in (0, 1)]
    for end in total:
        end[0] = 0.0
    return total[0].T, total[1].T


def _direct(tree: RadialTree, low: FloatArray, high: FloatArray) -> Range:
    """Enclose the direct effects of all variables on all voltages, shape (n, c + 1)."""
    ends: list[FloatArray] = []
    active, reactive = tree.injection.real, tree.injection.imag
    for mine, theirs in ((low, high), (high, low)):
        end = mine[0].T @ np.maximum(active, 0.0) - theirs[0].T @ np.maximum(-active, 0.0)
        end += mine[1].T @ np.maximum(reactive, 0.0) - theirs[1].T @ np.maximum(-reactive, 0.0)
        ends.append(np.hstack([end, np.ones((len(end), 1))]))
    return ends[0], ends[1]
