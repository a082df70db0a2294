"""Check a certificate (docs/certificate.md); exit code 0: every row of every interval is proved."""

import hashlib
import json
import pathlib
import sys
from itertools import product

import numpy as np

INFLATED, TINY, SLACK, SAME = 5e-7, 1e-12, 2e-9, 1e-7
POWERS = {"injection": -1.0, "withdrawal": 1.0, "reactive_max": 1j, "reactive_min": -1j}


def need(true, sentence):
    if not np.all(true):
        raise ValueError(sentence)


def matrix(given):
    full = np.zeros(given["shape"], dtype=complex)
    full[given["row"], given["column"]] = np.array(given["entry"]).reshape(-1, 2) @ [1, 1j]
    return full


class Model:  # port voltages v = W x + Z conj(s / v), powers s = s0 + P x, phasors G i + F x
    def __init__(self, part):
        net, given, band = part["network"], part["envelopes"], part["band_pu"]
        text = json.dumps(net, separators=(",", ":")).encode()
        need(hashlib.sha256(text).hexdigest() == part["network_hash"], "the network's hash")
        need([e["connection_point"] for e in given] == net["connection_points"], "the customers")
        Y, ports, held = matrix(net["admittance"]), matrix(net["ports"]), net["held_nodes"]
        together, fixed, right = np.array(net["held_pu"]) @ [1, 1j], Y.copy(), np.c_[ports, Y[0]]
        fixed[held], right[:, -1], right[held] = np.eye(len(Y))[held], 0, 0
        right[held, -1], drawn = together, together.conj()
        nodes = np.linalg.solve(fixed, right)  # voltages by ports' currents; last, without load
        seen = [matrix(net["voltage_of"]), matrix(net["current_of"]), (drawn @ Y[held])[None]]
        self.P, self.s0 = matrix(net["power"]), np.array(net["standing_pu"]) @ [1, 1j]
        seen, last = np.vstack(seen) @ nodes, np.eye(self.P.shape[1])[-1]
        seen[-1, :-1] -= drawn @ ports[held]
        self.Z, self.W = ports.T @ nodes[:, :-1], np.outer(ports.T @ nodes[:, -1], last)
        self.G, self.F = seen[:, :-1], np.outer(seen[:, -1], last)
        rest, base, rows = np.ones(len(last) - 1 - len(given)), net["base_power_w"], part["rows"]
        self.low = np.r_[[-e["withdrawal_w"] / base for e in given], -rest, band[0]]
        self.high = np.r_[[e["injection_w"] / base for e in given], rest, band[1]]
        buses, ends = net["voltages"], net["terminals"]
        kinds = [
            *product(["voltage_max", "voltage_min"], buses),
            *product(["current"], ends),
        ]
        found, seen = [(r["kind"], r["element"]) for r in rows], len(buses) + len(ends)
        need([found[: len(kinds)] == kinds, *(self.low <= self.high)], "rows, limits or band")
        self.way = [POWERS[kind[10:]] for kind, _ in found[len(kinds) :]]  # directions of powers
        self.which = [*range(len(buses)), *range(seen)] + [seen] * len(self.way)
        self.way, self.rows = [None] * len(kinds) + self.way, rows
        self.level = lambda k, f: f if self.way[k] else f * abs(f)  # F of a magnitude: its square
        self.cap = [self.level(k, r["limit"] + SLACK * abs(r["limit"])) for k, r in enumerate(rows)]

    def solve(self, x, v):
        for _ in range(30):
            i = ((self.s0 + self.P @ x) / v).conj()
            left, K = self.W @ x + self.Z @ i - v, self.Z * (i / v.conj())
            v = v + np.linalg.solve(np.eye(len(v)) - K @ K.conj(), left - K @ left.conj())
        need(abs(left) < 1e-12, "a point of the box has no power flow solution")
        return v


class Box:  # the solutions over a box, |v - v_c| <= r, with their first and second derivatives
    def __init__(self, m, low, high, start):
        self.m, self.parts, self.x, self.h = m, None, (low + high) / 2, (high - low) / 2
        self.v = v = m.solve(self.x, start)
        s, size, spread = m.s0 + m.P @ self.x, abs(v), abs(m.P) @ self.h
        D, slope, eye = s.conj() / v.conj() ** 2, m.P.conj() / v.conj()[:, None], np.eye(len(v))
        K, direct = m.Z * D, m.W + m.Z @ slope
        own = np.linalg.inv(eye - K @ K.conj())
        self.D, self.forward, self.backward = D, own @ m.Z, -own @ K @ m.Z.conj()
        self.S = S = own @ direct - own @ K @ direct.conj()
        self.I, M = slope - D[:, None] * S.conj(), abs(self.forward) + abs(self.backward)
        linear, q = abs(S) @ self.h + TINY, 0 * size
        for _ in range(100):
            r = np.minimum((linear + M @ q) * (1 + INFLATED) + TINY, 0.99 * size)
            q = r / (size - r) * (spread / size + abs(D) * r)
        self.r, self.q = r, q
        dD = spread / (size - r) ** 2 + abs(s) * ((size - r) ** -2 - size**-2)
        C, inverse, dD = M * dD, (r / (size * (size - r)))[:, None], dD[:, None]
        self.closed = (linear + M @ q <= r).all() and abs(np.linalg.eigvals(C)).max() < 0.9995
        moved = abs(m.P) * inverse + dD * abs(S)
        dS = np.linalg.solve(eye - C, M @ moved) * (1 + INFLATED) + TINY
        self.moved, b = moved + dD * dS, S.conj() / v.conj()[:, None]
        dI, db = self.moved + abs(D)[:, None] * dS, dS / size[:, None] + (abs(S) + dS) * inverse
        c, dc = self.I[:, :, None] * b[:, None], abs(self.I)[:, :, None] * db[:, None]
        dc = dc + dI[:, :, None] * (abs(b) + db)[:, None]
        self.c = -(c + c.transpose(0, 2, 1)).reshape(len(v), -1)
        dc = (dc + dc.transpose(0, 2, 1)).reshape(self.c.shape)
        self.dc = dc + dD * np.linalg.solve(eye - C, M @ (abs(self.c) + dc))

    def holds(self, x, v):
        near = np.r_[abs(x - self.x) <= self.h + 1e-9, abs(v - self.v) <= self.r + TINY]
        return self.closed and near.all()

    def start(self, x):
        return self.v + self.S @ (x - self.x)

    def leaf(self, x):  # the closed box that holds x
        return self.parts[int(x[self.cut] > self.x[self.cut])].leaf(x) if self.parts else self

    def bound(self, k):  # a bound of F; at the centre F, gradient, its radius; Hessian, its radius
        g, f, n, h = self.m.G[self.m.which[k]], self.m.F[self.m.which[k]], len(self.h), self.h
        forward, back = g - g * self.D @ self.backward.conj(), g * self.D @ self.forward.conj()
        N, B = abs(forward) + abs(back), forward @ self.c - back @ self.c.conj()
        x, X, dX = g @ (self.D * self.v.conj()) + f @ self.x, f + g @ self.I, N @ self.moved
        B, dB, way = B.reshape(n, n), (N @ self.dc).reshape(n, n), self.m.way[k]
        dx, sense = abs(X) @ h + N @ self.q, 1 - 2 * (self.m.rows[k]["kind"] == "voltage_min")
        y, dy, Y, dY, C, dC = x, dx, X, dX, B, dB
        if way:  # F = Re(conj(y) x): the interface voltage takes the place of the phasor
            y, Y, dy, dY, C, dC = way * self.x[-1], way * np.eye(n)[-1], h[-1], 0 * dX, 0 * B, 0 * B
        F, G = sense * (np.conj(y) * x).real, sense * (Y.conj() * x + np.conj(y) * X).real
        K, dK = np.outer(Y.conj(), X).real, np.outer(abs(Y), dX) + np.outer(dY, abs(X) + dX)
        H = sense * (K + K.T + (C.conj() * x + np.conj(y) * B).real)
        dH = dK + dK.T + abs(C) * dx + dC * (abs(x) + dx) + abs(B) * dy + dB * (abs(y) + dy)
        top, pairs = np.minimum(np.diag(H + dH), -1e-300), (abs(H) + dH) * np.outer(h, h)
        single = abs(G) * h + np.diag(H + dH) * h**2 / 2
        single = np.where(abs(G) < -top * h, -(G**2) / (2 * top), single)
        rise = single.sum() + (pairs.sum() - np.trace(pairs)) / 2 + TINY * (1 + abs(F))
        rise = rise if way or sense < 0 else min(rise, (abs(x) + dx) ** 2 - F)
        return F + rise, F, G, (abs(H) + dH) @ h + TINY * (1 + abs(G)), H, dH


def prove(m, steps, low, high, rows, home, start):  # F of rows over a box; the tree of closed boxes
    box = Box(m, low, high, start)
    found = {k: box.bound(k) if box.closed else [np.inf] * 6 for k in rows}
    home = home or (box if box.closed else None)
    need(not home or (abs(box.v - home.v) <= home.r + TINY), "it is on another solution")
    open_ = [k for k in rows if not found[k][0] <= m.cap[k]]
    for members, how, parts in steps:
        mine, open_ = [k for k in members if k in open_], [k for k in open_ if k not in members]
        if parts == "peak":
            at, free = np.array(how), np.ix_(high > low, high > low)
            near, width = Box(m, at, at, box.start(at)), np.outer(box.h, box.h)[free]
            for (*_, H, dH), k in ((found[k], k) for k in mine):
                top = np.linalg.eigvalsh(H[free] * width).max() + (dH[free] * width).sum(1).max()
                F, G = near.bound(k)[1:3]
                F += np.maximum(G * (low - at), G * (high - at)).sum()
                need(top < 0 and box.holds(at, near.v) and m.cap[k] >= F, "a peak is none")
            continue
        need(home or [way for _, way in how] == ["split"], "a box is not enclosed")
        ranges = [[pair] for pair in np.c_[low, high]]
        for k, way in how:
            ends, half = [(low[k],) * 2, (high[k],) * 2], [(low[k], box.x[k]), (box.x[k], high[k])]
            ranges[k] = {"low": ends[:1], "high": ends[1:], "ends": ends, "split": half}[way]
            for *_, G, dG, H, dH in (found[row] for row in mine if way != "split"):
                sign = {"low": -G - dG > 0, "high": G - dG > 0, "ends": np.diag(H - dH) >= 0}
                need(sign[way][k], "a derivative's sign is not certain")
        boxes = zip(parts, map(np.transpose, product(*ranges)), strict=True)
        trees = [prove(m, part, *b, mine, home, box.start(sum(b) / 2)) for part, b in boxes]
        if not home:  # the solutions of both halves are one if they are at the middle of the cut
            box.cut, box.parts = k, trees
            need([each.leaf(box.x).holds(box.x, box.v) for each in trees], "parts not connected")
    need(not open_ and (home or box.parts), f"rows {open_} are not bounded over a box")
    return box


def check(part):  # the numbers of rows proved, and only checked, of one network in one interval
    m, way = Model(part), Model.__new__(Model)
    proved = [k for k, row in enumerate(m.rows) if row["standing"] == "proved"]
    x, (idle, full) = np.clip(0 * m.low, m.low, m.high), np.array([[0, 1.0], [1, 1]])
    v, s, way.Z = m.W @ x, m.s0 + m.P @ x, m.Z
    way.P, way.s0, way.W = np.c_[s, 0 * s], 0 * s, np.c_[0 * v, v]
    path = prove(way, part["way"], idle, full, [], None, v)  # from no load to the point x
    point = Box(m, x, x, path.leaf(full).start(full))
    tree = prove(m, part["cover"], m.low, m.high, proved, None, point.start((m.low + m.high) / 2))
    ties = ((path, idle, v), (path, full, point.v), (tree, x, point.v))
    need([box.leaf(at).holds(at, voltage) for box, at, voltage in ties], "not tied to no load")
    for k in proved:
        row, at = m.rows[k], np.array(m.rows[k]["worst"])
        home, value, bound = tree.leaf(at), m.level(k, row["value"]), m.level(k, row["bound"])
        point, slack = Box(m, at, at, home.start(at)), SAME * (abs(m.cap[k]) + 1e-3)
        near = home.holds(at, point.v) and abs(point.bound(k)[1] - value) <= slack
        need(near and value - slack <= bound <= m.cap[k], f"worst point of {row['element']}")
    return len(proved), len(m.rows) - len(proved) + part["unbalance_rows"]


def main(path):
    text, failures, done = pathlib.Path(path).read_text("utf-8"), 0, np.zeros(2, int)
    digest = hashlib.sha256(text[89:-2].encode()).hexdigest()
    if text != f'{{"checksum":"{digest}","content":{text[89:-2]}}}\n':
        return print("the checksum is not that of the content") or 1
    intervals = json.loads(text)["content"]["intervals"]
    for start, part in ((each["start"], part) for each in intervals for part in each["parts"]):
        try:
            done += check(part) if "network" in part else (0, part["only_checked"])
        except (LookupError, TypeError, ValueError, ArithmeticError) as error:
            failures += 1
            print(f"interval {start}: {error}")
    print(f"{done[0]} rows proved, {done[1]} only checked, {failures} failures")
    return print("not a proof") or 1 if failures or done[1] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
