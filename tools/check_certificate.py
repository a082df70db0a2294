"""Check a certificate (docs/certificate.md); exit code 0: every row of every interval is proved."""
import hashlib
import json
import pathlib
import sys
from collections import namedtuple
from itertools import product

import numpy as np

INFLATED, TINY, SLACK, SAME = 5e-7, 1e-12, 2e-9, 1e-7  # of radii, per unit, and of limits
POWERS: dict[str, complex] = {"interface_injection": -1.0, "interface_withdrawal": 1.0}
POWERS |= {"interface_reactive_max": 1j, "interface_reactive_min": -1j}
Interval = namedtuple("Interval", "start end status reason envelopes parts")
Envelope = namedtuple("Envelope", "injection_w withdrawal_w")
Part = namedtuple("Part", "state connection_points network network_hash band_pu rows way cover")
Row = namedtuple("Row", "element kind limit standing worst value bound")
Flow = namedtuple("Flow", "W Z P s0")  # port voltages v = W x + Z conj(s / v), powers s = s0 + P x
Goal = namedtuple("Goal", "row sense x y cap value slack seen")  # F = sense Re(conj(y) x) <= cap
Bound = namedtuple("Bound", "largest value gradient gradient_radius hessian hessian_radius")
encode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode

def need(true, sentence):
    if not np.all(true):
        raise ValueError(sentence)
def matrix(given):
    full = np.zeros(given["shape"], dtype=complex)
    full[given["row"], given["column"]] = np.array(given["entry"]).reshape(-1, 2) @ [1, 1j]
    return full
def times(a, da, b, db):  # the product of two discs, with its radius
    return a * b, abs(a) * db + da * (abs(b) + db)

def read(part, envelopes):  # power flow, box, goals; last in nodes and seen: without load
    net, rows, goals = part.network, [Row(**row) for row in part.rows], {}
    need(hashlib.sha256(encode(net).encode()).hexdigest() == part.network_hash, "network's hash")
    Y, held, ports, P = (matrix(net[name]) for name in ("admittance", "held", "ports", "power"))
    free, last, eye = held == 0, np.eye(P.shape[1])[-1], np.eye(len(Y))
    nodes = np.linalg.solve(np.where(free, Y, eye), np.c_[np.where(free, ports, 0), held])
    drawn = held.conj().T @ (Y @ nodes - np.c_[ports, 0 * held])  # the interface's current
    seen = np.vstack([matrix(net["phasor_of"]) @ nodes, drawn])
    s0, Z, v0 = np.array(net["standing_pu"]) @ [1, 1j], ports.T @ nodes[:, :-1], nodes[:, -1]
    given, base = [envelopes[each] for each in part.connection_points], net["base_power_w"]
    band, rest = part.band_pu, np.ones(len(last) - 1 - len(given))
    low = np.r_[[-each.withdrawal_w / base for each in given], -rest, band[0]]
    high = np.r_[[each.injection_w / base for each in given], rest, band[1]]
    need([base > 0, band[0] > 0, *(low <= high)], "envelopes or band")
    buses, ends = net["voltages"], net["terminals"]
    kinds = [*product(["voltage_max", "voltage_min"], buses), *product(["current"], ends)]
    need([row[1::-1] for row in rows[: len(kinds)]] == kinds, "rows are missing")
    which = [*range(len(buses)), *range(len(buses) + len(ends))] + [-1] * len(rows)
    for k, row in enumerate(rows):
        if row.standing == "proved":
            g, f = seen[which[k], :-1], seen[which[k], -1] * last
            way = POWERS[row.kind] if which[k] < 0 else 0
            limit, sense = row.limit + SLACK * abs(row.limit), 1 - 2 * (row.kind == "voltage_min")
            cap, bound, value = (F if way else F * abs(F) for F in (limit, row.bound, row.value))
            need((way or row.limit * sense >= 0) and bound <= cap, f"limits of {row.element}")
            slack, y = SAME * (abs(cap) + 1e-3), (0 * g, way * last) if way else None
            goals[k] = Goal(row, sense, (g, f), y, min(cap, bound + slack), value, slack, [])
    return Flow(np.outer(ports.T @ v0, last), Z, P, s0), low, high, goals

class Box:  # the solutions over a box, |v - v_c| <= r, with their first and second derivatives
    def __init__(self, flow, low, high, start):
        self.x, self.h, eye = (low + high) / 2, (high - low) / 2, np.eye(len(flow.Z))
        s, spread, v = flow.s0 + flow.P @ self.x, abs(flow.P) @ self.h, start(self.x)
        for _ in range(30):
            i = (s / v).conj()
            left, K = flow.W @ self.x + flow.Z @ i - v, flow.Z * (i / v.conj())
            own = np.linalg.inv(eye - K @ K.conj())
            v = v + own @ (left - K @ left.conj())
        need(abs(left) < 1e-12, "a point of the box has no power flow solution")
        self.v, self.i, self.D, size = v, i, i / v.conj(), abs(v)
        slope, rounding = flow.P.conj() / v.conj()[:, None], TINY * (1 + abs(own).sum(1) / 100)
        self.forward, self.backward = own @ flow.Z, -own @ K @ flow.Z.conj()
        direct, M = flow.W + flow.Z @ slope, abs(self.forward) + abs(self.backward)
        S = own @ (direct - K @ direct.conj())
        self.start, self.leaf = (lambda x: v + S @ (x - self.x)), (lambda x, k=0, trees=(): self)
        self.I, linear, q = slope - self.D[:, None] * S.conj(), abs(S) @ self.h + rounding, 0 * size
        for _ in range(100):
            r = np.minimum((linear + M @ q) * (1 + INFLATED) + TINY, 0.99 * size)
            q = r / (size - r) * (spread / size + abs(self.D) * r)
        dD = spread / (size - r) ** 2 + abs(s) * ((size - r) ** -2 - size**-2)
        C, inverse, dD, self.r, self.q = M * dD, r / (size * (size - r)), dD[:, None], r, q
        self.closed = (linear + M @ q <= r).all() and abs(np.linalg.eigvals(C)).max() < 0.9995
        moved = abs(flow.P) * inverse[:, None] + dD * abs(S)
        dS = np.linalg.solve(eye - C, M @ moved) * (1 + INFLATED) + TINY
        self.moved = moved + dD * dS  # of the currents' derivatives I, but for the next summand
        dI = self.moved + abs(self.D)[:, None] * dS
        b, db = times(S.conj(), dS, 1 / v.conj()[:, None], inverse[:, None])
        both = times(self.I[:, :, None], dI[:, :, None], b[:, None], db[:, None])
        c, dc = ((a + a.transpose(0, 2, 1)).reshape(len(v), -1) for a in both)
        self.c, self.dc = -c, dc + dD * np.linalg.solve(eye - C, M @ (abs(c) + dc))

    def holds(self, x, v):
        near = np.r_[abs(x - self.x) <= self.h + 1e-9, abs(v - self.v) <= self.r + TINY]
        return self.closed and near.all()

    def phasor(self, g, f):  # discs of the phasor G i + F x and of its derivatives
        ahead, back = g - g * self.D @ self.backward.conj(), g * self.D @ self.forward.conj()
        N, X = abs(ahead) + abs(back), f + g @ self.I
        x, dx = g @ self.i + f @ self.x, abs(X) @ self.h + N @ self.q
        B, dB = ahead @ self.c - back @ self.c.conj(), N @ self.dc
        return x, dx, X, N @ self.moved, B.reshape(len(X), -1), dB.reshape(len(X), -1)

    def bound(self, goal):  # of F over the box, with the derivatives of F
        h, sense, (x, dx, X, dX, B, dB) = self.h, goal.sense, self.phasor(*goal.x)
        y, dy, Y, dY, C, dC = self.phasor(*goal.y) if goal.y else (x, dx, X, dX, B, dB)
        F, G = sense * (y.conj() * x).real, sense * (Y.conj() * x + y.conj() * X).real
        K, dK = times(Y.conj()[:, None], dY[:, None], X, dX)
        U, dU = times(C.conj(), dC, x, dx)
        V, dV = times(B, dB, y.conj(), dy)
        H, dH = sense * (K + K.T + U + V).real, dK + dK.T + dU + dV
        curvature, pairs = np.diag(H + dH), (abs(H) + dH) * np.outer(h, h)
        single = abs(G) * h + curvature * h**2 / 2
        inside = abs(G) < -curvature * h  # the largest rise in this variable alone is inside
        single[inside] = G[inside] ** 2 / (-2 * curvature[inside])
        rise = single.sum() + (pairs.sum() - np.trace(pairs)) / 2 + TINY * (1 + abs(F))
        rise = rise if goal.y or sense < 0 else min(rise, (abs(x) + dx) ** 2 - F)
        goal.seen.append(F)
        return Bound(F + rise, F, G, (abs(H) + dH) @ h + TINY * (1 + abs(G)), H, dH)

def prove(flow, goals, steps, low, high, rows, home, start):  # returns the tree of closed boxes
    box = Box(flow, low, high, start)
    found = {k: box.bound(goals[k]) for k in rows if box.closed}
    home = home or (box if box.closed else None)
    need(not home or (abs(box.v - home.v) <= home.r + TINY), "it is on another solution")
    open_ = [k for k in rows if not (box.closed and found[k].largest <= goals[k].cap)]
    for members, how, parts in steps:
        mine, open_ = [k for k in members if k in open_], [k for k in open_ if k not in members]
        if parts == "peak":
            at, free = np.clip(how, low, high), np.ix_(high > low, high > low)
            tip, width = Box(flow, at, at, box.start), np.outer(box.h, box.h)[free]
            for over, point, goal in ((found[k], tip.bound(goals[k]), goals[k]) for k in mine):
                H, dH = over.hessian[free] * width, over.hessian_radius[free] * width
                concave = box.holds(at, tip.v) and np.linalg.eigvalsh(H).max() + dH.sum(1).max() < 0
                tangent = point.gradient @ np.where(point.gradient > 0, high - at, low - at)
                need(concave and point.value + tangent <= goal.cap, "a peak is none")
            continue
        need(home or [way for _, way in how] == ["split"], "a box is not enclosed")
        ranges = [[pair] for pair in np.c_[low, high]]
        for k, way in how:
            ends, half = [(low[k],) * 2, (high[k],) * 2], [(low[k], box.x[k]), (box.x[k], high[k])]
            ranges[k] = {"low": ends[:1], "high": ends[1:], "ends": ends, "split": half}[way]
            for over in (found[row] for row in mine if way != "split"):
                G, dG, dH = over.gradient[k], over.gradient_radius[k], over.hessian_radius[k, k]
                sign = {"low": -dG > G, "high": dG < G, "ends": over.hessian[k, k] >= dH}
                need(sign[way], "a derivative's sign is not certain")
        boxes = zip(parts, map(np.transpose, product(*ranges)), strict=True)
        trees = [prove(flow, goals, own, a, b, mine, home, box.start) for own, (a, b) in boxes]
        if not home:  # the solutions of both halves are one if they are at the middle of the cut
            box.leaf = lambda x, k=k, trees=trees: trees[int(x[k] > box.x[k])].leaf(x)
            need([each.leaf(box.x).holds(box.x, box.v) for each in trees], "parts not connected")
    need(not open_ and (home or steps), f"rows {open_} are not bounded over a box")
    return box

def check(part, envelopes):  # the numbers of rows proved, and only checked, of one network
    need("reason" not in part, f"not proved: {part.get('reason')}")
    flow, low, high, goals = read(part := Part(**part), envelopes)
    x, (idle, full) = np.clip(0 * low, low, high), np.array([[0, 1.0], [1, 1]])
    v = flow.W @ x  # without load; from there to the point x, by the share of its powers:
    way = Flow(np.c_[0 * v, v], flow.Z, np.c_[flow.s0 + flow.P @ x, 0 * v], 0 * v)
    path = prove(way, {}, part.way, idle, full, [], None, lambda x: v)
    point = Box(flow, x, x, lambda x: path.leaf(full).start(full))
    tree = prove(flow, goals, part.cover, low, high, [*goals], None, point.start)
    ties = ((path, idle, v), (path, full, point.v), (tree, x, point.v))
    need([box.leaf(at).holds(at, voltage) for box, at, voltage in ties], "not tied to no load")
    for goal in goals.values():
        at, home = np.array(goal.row.worst), tree.leaf(goal.row.worst)
        point = Box(flow, at, at, home.start)
        off = max(abs(point.bound(goal).value - goal.value), max(goal.seen) - goal.value)
        need(home.holds(at, point.v) and off <= goal.slack, f"worst point of {goal.row.element}")
    return np.array([len(goals), len(part.rows) - len(goals)])

def main(path):
    text, failures, done = pathlib.Path(path).read_text("utf-8"), 0, np.zeros(2, int)
    try:
        content = json.loads(text)["content"]
        digest = hashlib.sha256(encode(content).encode()).hexdigest()
        need(text == f'{{"checksum":"{digest}","content":{encode(content)}}}\n', "wrong checksum")
        need(content["format"] == "doe-exchange certificate 1", "another format")
        intervals = [Interval(**each) for each in content["intervals"]]
    except Exception as error:
        return print(error) or 1
    for before, interval in zip([None, *intervals], intervals):
        try:
            need(interval.status == "secure", f"not secured ({interval.status}): {interval.reason}")
            need([interval.start < interval.end, not before or before.end == interval.start], "gap")
            given = {point: Envelope(**each) for point, each in interval.envelopes.items()}
            need([type(w) is int and w >= 0 for each in given.values() for w in each], "envelopes")
            points = {point for part in interval.parts for point in part["connection_points"]}
            need(interval.parts and points == {*given}, "parts and envelopes differ in customers")
            done = done + sum(check(part, given) for part in interval.parts)
        except Exception as error:  # whatever is wrong with it, it is not proved
            failures += 1
            print(f"interval {interval.start}: {error}")
    print(f"{done[0]} rows proved, {done[1]} only checked, {failures} failures")
    return print("not a proof") or 1 if failures or done[1] or not done[0] else 0

if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
