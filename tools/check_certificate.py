"""Check a certificate of envelopes from its admittance and limits: docs/certificate.md.

``python check_certificate.py FILE`` exits with 0 if every row of every interval is proved.
"""

import copy
import hashlib
import itertools
import json
import re
import sys

import numpy as np

LESS = 0.5  # of the margins of the certificate's own bounds, so that both agree
ROUNDING, TOLERANCE, SAME = 1e-12, 2e-9, 1e-7
VOLTAGES, CURRENTS = {"voltage_max": 1, "voltage_min": -1}, {"current_export": 1}
POWERS = {"interface_injection": -1.0, "interface_withdrawal": 1.0}
POWERS |= {"interface_reactive_max": 1j, "interface_reactive_min": -1j}


def need(true, sentence):
    if not np.all(true):
        raise ValueError(sentence)


def numbers(pairs):
    return np.array([complex(*pair) for pair in pairs], dtype=complex)


def matrix(given):
    full = np.zeros(given["shape"], dtype=complex)
    np.add.at(full, (given["row"], given["column"]), numbers(given["entry"]))
    return full


class Model:
    """Port voltages ``v = W x + Z conj(s / v)``, powers ``s = s0 + P x``, phasors ``G i + F x``."""

    def __init__(self, part):
        net, given, band = part["network"], part["envelopes"], part["band_pu"]
        text = json.dumps(net, separators=(",", ":")).encode()
        need(hashlib.sha256(text).hexdigest() == part["network_hash"], "the network's hash")
        need([e["connection_point"] for e in given] == net["connection_points"], "the customers")
        Y, ports, held = matrix(net["admittance"]), matrix(net["ports"]), net["held_nodes"]
        together, inside = numbers(net["held_pu"]), np.delete(np.arange(len(Y)), held)
        nodes = np.zeros((len(Y), ports.shape[1] + 1), complex)  # by ports; last, without load
        right = np.c_[ports[inside], -Y[np.ix_(inside, held)] @ together]
        nodes[inside], drawn = np.linalg.solve(Y[np.ix_(inside, inside)], right), together.conj()
        nodes[held, -1] = together
        seen = [matrix(net["voltage_of"]), matrix(net["current_of"]), (drawn @ Y[held])[None]]
        self.P, self.s0 = matrix(net["power"]), numbers(net["standing_pu"])
        both, last = np.vstack(seen) @ nodes, np.eye(self.P.shape[1])[-1]
        both[-1, :-1] -= drawn @ ports[held]
        self.Z, self.G, self.F = ports.T @ nodes[:, :-1], both[:, :-1], np.outer(both[:, -1], last)
        self.W, rest = np.outer(ports.T @ nodes[:, -1], last), np.ones(len(last) - 1 - len(given))
        base, self.rows = net["base_power_w"], part["rows"]
        self.low = np.r_[[-e["withdrawal_w"] / base for e in given], -rest, band[0]]
        self.high = np.r_[[e["injection_w"] / base for e in given], rest, band[1]]
        need(self.low <= self.high, "a limit is negative, or the band is empty")
        m, t = len(net["voltages"]), len(net["terminals"])
        names = net["voltages"] + net["terminals"] + ["interface"]
        wanted = [(kind, k) for kind in VOLTAGES for k in range(m)]
        wanted += [(kind, k) for kind in CURRENTS for k in range(m, m + t)]
        stated = [(row["kind"], row["phasor"]) for row in self.rows]
        need([each for each in stated if each[0] not in POWERS] == wanted, "the rows")
        named = [r["element"] == names[r["phasor"]] and r["phasor"] >= 0 for r in self.rows]
        need(named, "the rows' elements")
        self.limit = np.array([row["limit"] for row in self.rows])

    def solve(self, x, v):
        for _ in range(30):
            i = ((self.s0 + self.P @ x) / v).conj()
            left, K = self.W @ x + self.Z @ i - v, self.Z * (i / v.conj())
            v = v + np.linalg.solve(np.eye(len(v)) - K @ K.conj(), left - K @ left.conj())
        left = np.abs(self.W @ x + self.Z @ ((self.s0 + self.P @ x) / v).conj() - v)
        need(left < 1e-11, "a point of the box has no power flow solution")
        return v, left


class Box:
    """The solutions over a box, ``|v - v_c| <= r``, with their first and second derivatives."""

    def __init__(self, m, low, high, start):
        self.m, self.x, self.h, size = m, (low + high) / 2, (high - low) / 2, None
        self.v, left = v, _ = m.solve(self.x, start)
        s, size, spread = m.s0 + m.P @ self.x, np.abs(v), np.abs(m.P) @ self.h
        D, slope, eye = s.conj() / v.conj() ** 2, m.P.conj() / v.conj()[:, None], np.eye(len(v))
        K, direct = m.Z * D, m.W + m.Z @ slope
        own = np.linalg.inv(eye - K @ K.conj())
        self.D, self.forward, self.backward = D, own @ m.Z, -own @ K @ m.Z.conj()
        self.S = S = own @ direct - own @ K @ direct.conj()
        I, M = slope - D[:, None] * S.conj(), np.abs(self.forward) + np.abs(self.backward)
        linear = np.abs(S) @ self.h + (np.abs(own) + np.abs(own @ K)) @ left + ROUNDING
        r, self.closed = linear, False
        for _ in range(100):
            if not (r < 0.999 * size).all():
                return
            q = r / (size - r) * (spread / size + np.abs(D) * r)
            r = np.maximum(r, (linear + M @ q) * (1 + LESS * 1e-6) + ROUNDING)
        q = r / (size - r) * (spread / size + np.abs(D) * r)
        dD = spread / (size - r) ** 2 + np.abs(s) * ((size - r) ** -2 - size**-2)
        C, y, inverse = M * dD, np.ones(len(v)), (r / (size * (size - r)))[:, None]
        for _ in range(20):
            y = (1 + C @ y) / (1 + C @ y).max()
        if not ((linear + M @ q <= r).all() and (C @ y < 0.9995 * y).all()):
            return
        self.r, self.q, self.I, self.closed = r, q, I, True
        moved = np.abs(m.P) * inverse + dD[:, None] * np.abs(S)
        dS = np.linalg.solve(eye - C, M @ moved) * (1 + LESS * 1e-6) + ROUNDING
        self.moved, b = moved + dD[:, None] * dS, S.conj() / v.conj()[:, None]
        dI, db = (
            self.moved + np.abs(D)[:, None] * dS,
            dS / size[:, None] + (np.abs(S) + dS) * inverse,
        )
        c, dc = I[:, :, None] * b[:, None], np.abs(I)[:, :, None] * db[:, None]
        dc = dc + dI[:, :, None] * (np.abs(b) + db)[:, None]
        self.c = -(c + c.transpose(0, 2, 1)).reshape(len(v), -1)
        dc = (dc + dc.transpose(0, 2, 1)).reshape(self.c.shape)
        self.dc = dc + dD[:, None] * np.linalg.solve(eye - C, M @ (np.abs(self.c) + dc))

    def holds(self, x, v):
        inside = (np.abs(x - self.x) <= self.h + 1e-9).all()
        return self.closed and inside and (np.abs(v - self.v) <= self.r + ROUNDING).all()

    def start(self, x):
        return self.v + self.S @ (x - self.x)

    def bound(self, k):
        """Return a bound of row k's F; F, gradient and Hessian at the centre; their radii."""
        row, h, n = self.m.rows[k], self.h, len(self.h)
        g, f = self.m.G[row["phasor"]], self.m.F[row["phasor"]]
        forward, backward = (
            g - g * self.D @ self.backward.conj(),
            -(g * self.D) @ self.forward.conj(),
        )
        N, x, X = (
            np.abs(forward) + np.abs(backward),
            g @ (self.D * self.v.conj()) + f @ self.x,
            f + g @ self.I,
        )
        dx, dX, B = (
            np.abs(X) @ h + N @ self.q,
            N @ self.moved,
            forward @ self.c + backward @ self.c.conj(),
        )
        B, dB = B.reshape(n, n), (N @ self.dc).reshape(n, n)
        y, dy, Y, dY, C, dC = x, dx, X, dX, B, dB
        sense = (VOLTAGES | CURRENTS).get(row["kind"], 1)
        if row["kind"] in POWERS:  # F = Re(conj(y) x): the interface voltage takes the place of x
            y, dy, Y = POWERS[row["kind"]] * np.array([self.x[-1], h[-1], 1], dtype=object)
            y, dy, Y, dY, C, dC = y, abs(dy), Y * np.eye(n)[-1], 0 * dX, 0 * B, 0 * dB
        F, G = sense * (np.conj(y) * x).real, sense * (Y.conj() * x + np.conj(y) * X).real
        K, dK = np.outer(Y.conj(), X).real, np.outer(abs(Y), dX) + np.outer(dY, abs(X) + dX)
        H = sense * (K + K.T + (C.conj() * x + np.conj(y) * B).real)
        dH = dK + dK.T + abs(C) * dx + dC * (abs(x) + dx) + abs(B) * dy + dB * (abs(y) + dy)
        top, slope, pairs = np.diag(H + dH), abs(G), (abs(H) + dH) * np.outer(h, h)
        inner = (top < 0) & (slope < -top * h)
        single = np.where(
            inner, -(slope**2) / np.minimum(2 * top, -1e-300), slope * h + top * h**2 / 2
        )
        rise = single.sum() + (pairs.sum() - np.trace(pairs)) / 2 + ROUNDING * (1 + abs(F))
        return F + rise, F, G, (abs(H) + dH) @ h + ROUNDING * (1 + slope), H, dH


def prove(m, steps, low, high, rows, home, start, most):
    """Bound rows over a box; ``most`` collects the largest bounds.  Return the tree of its boxes."""
    box, tree = Box(m, low, high, start), None
    found = {row: box.bound(row) if box.closed else [np.inf] for row in rows}
    open_ = [row for row in rows if not found[row][0] <= m.target[row]]
    home = home or (box if box.closed else None)
    need(home is None or (np.abs(box.v - home.v) <= home.r + ROUNDING), "another solution")
    for row in set(rows) - set(open_):
        most[row] = max(most[row], found[row][0])
    for members, how, parts in steps:
        mine = [row for row in members if row in open_]
        open_ = [row for row in open_ if row not in mine]
        if parts == "peak":
            for row in mine:
                at, free, (*_, H, dH) = np.array(how), np.ix_(high > low, high > low), found[row]
                width, near = np.outer(box.h, box.h)[free], Box(m, at, at, box.start(at))
                top = np.linalg.eigvalsh(H[free] * width).max() + (dH[free] * width).sum(1).max()
                _, F, G, *_ = near.bound(row)
                level = F + np.maximum(G * (low - at), G * (high - at)).sum()
                need(top < 0 and box.holds(at, near.v) and level <= m.target[row], "a peak")
                most[row] = max(most[row], level)
            continue
        ranges = [[(a, b)] for a, b in zip(low, high)]
        for k, way in how:
            ends = {"low": [(low[k],) * 2], "high": [(high[k],) * 2]}
            ends["ends"] = ends["low"] + ends["high"]
            ranges[k] = ends.get(way, [(low[k], box.x[k]), (box.x[k], high[k])])
            for _, _, G, dG, H, dH in (found[row] for row in mine if way in ends):
                sure = (
                    H[k, k] >= dH[k, k] if way == "ends" else (-G if way == "low" else G)[k] > dG[k]
                )
                need(sure, "a sign is not certain")
        boxes = [np.array(each).T for each in itertools.product(*ranges)]
        need(len(boxes) == len(parts), "a box has too many or too few parts")
        trees = [
            prove(m, part, a, b, mine, home, box.start((a + b) / 2), most)
            for part, (a, b) in zip(parts, boxes)
        ]
        if home is None:  # the solutions of both halves are one if they are at the cut's middle
            (k, _), tree, middle = how[0], (how[0][0], box.x[k], trees), box.x
            v, _ = m.solve(middle, box.v)
            need([leaf(each, middle).holds(middle, v) for each in trees], "parts not connected")
    need(not open_ and (home or tree), f"rows {open_} are not bounded over a part of the box")
    return tree or box


def leaf(node, x):
    while not isinstance(node, Box):
        node = node[2][int(x[node[0]] > node[1])]
    return node


def check(part):
    """Return the numbers of rows proved and not proved of one network in one interval."""
    if "reason" in part:
        return 0, part["only_checked"]
    m, way = Model(part), part["way"]
    signed = [1 if row["kind"] in POWERS else 0 for row in m.rows]
    level = lambda f: np.where(signed, f, np.sign(f) * np.square(f))
    m.target = level(m.limit + TOLERANCE * np.abs(m.limit))
    proved = [k for k, row in enumerate(m.rows) if row["standing"] == "proved"]
    x, loaded = np.clip(0 * m.low, m.low, m.high), copy.copy(m)
    v, s, (idle, full) = m.W @ x, m.s0 + m.P @ x, np.array([[0.0, 1.0], [1.0, 1.0]])
    loaded.P, loaded.s0, loaded.W = np.c_[s, 0 * s], 0 * s, np.c_[0 * v, v]
    tree = prove(loaded, way, idle, full, [], None, v, None)
    need(leaf(tree, idle).holds(idle, v), "the way from no load")
    v, _ = loaded.solve(full, leaf(tree, full).start(full))
    need(leaf(tree, full).holds(full, v), "the way from no load")
    start, most = v, np.full(len(m.rows), -np.inf)
    for share in np.linspace(0.125, 1, 8):
        start, _ = m.solve(x + share * ((m.low + m.high) / 2 - x), start)
    tree = prove(m, part["cover"], m.low, m.high, proved, None, start, most)
    need(leaf(tree, x).holds(x, v), "the box is not connected with the network without load")
    for k in proved:
        row, at = m.rows[k], np.array(m.rows[k]["worst"])
        need((m.low - 1e-12 <= at) & (at <= m.high + 1e-12), f"worst point of {row['element']}")
        home = leaf(tree, at)
        point = Box(m, at, at, home.start(at))
        value, bound, slack = (
            level(row["value"])[k],
            level(row["bound"])[k],
            SAME * (1 + m.limit[k] ** 2),
        )
        true = home.holds(at, point.v) and abs(point.bound(k)[1] - value) < slack
        need(true and max(value, most[k]) <= bound + slack, f"value or bound of {row['element']}")
        need(bound <= m.target[k], f"{row['element']} is beyond its limit")
    return len(proved), len(m.rows) - len(proved) + part["unbalance_rows"]


def main(path):
    text = open(path, encoding="utf-8").read()
    whole = re.fullmatch(r'\{"checksum":"([0-9a-f]{64})","content":(\{.*\})\}\n', text)
    if not whole or hashlib.sha256(whole[2].encode()).hexdigest() != whole[1]:
        return print("the checksum is not that of the content") or 1
    failures, proved, left = 0, 0, 0
    for interval in json.loads(whole[2])["intervals"]:
        for part in interval["parts"]:
            try:
                proved, left = np.add((proved, left), check(part))
            except (KeyError, IndexError, TypeError, ValueError, np.linalg.LinAlgError) as error:
                failures += 1
                print(f"interval {interval['start']}: {error or type(error).__name__}")
    print(f"{proved} rows proved, {left} only checked" + ": not a proof" * bool(left or failures))
    return int(bool(left or failures))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
