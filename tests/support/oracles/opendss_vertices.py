"""OpenDSS itself, as the reference: its matrices for brute force, its solution for the worst."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import opendssdirect as dss
from linear_oracle import Limits, LinearNetwork, LinearOracle, Worst, corners, products
from scipy import sparse
from scipy.spatial import HalfspaceIntersection
from stressed_phases import PhaseCase

BASE_W = 1e5


def _matrix(flat: Any) -> np.ndarray:
    numbers = np.array(flat)
    size = round((len(numbers) / 2) ** 0.5)
    return (numbers[0::2] + 1j * numbers[1::2]).reshape(size, size).T


class OpenDssOracle:
    """A compiled circuit; loads are the customers, shared equally among their phases.

    ``share`` (J, c) are their powers at the ports, ``network`` is the circuit without them.
    """

    def __init__(self, master: Path) -> None:
        self.master = master
        self._compile()
        self.customers = [str(name) for name in dss.Loads.AllNames()]
        connected = [self._pairs(name) for name in self.customers]
        for name in self.customers:
            dss.Text.Command(f"disable load.{name}")
        dss.Text.Command("solve")
        self.order = [str(node).lower() for node in dss.Circuit.YNodeOrder()]
        self.index = {node: k for k, node in enumerate(self.order)}
        self.base_v = np.array([self._base_v(node) for node in self.order])
        pairs = [pair for each in connected for pair in each]
        self.share = np.zeros((len(pairs), len(connected)))
        port = 0
        for k, each in enumerate(connected):
            self.share[port : port + len(each), k] = 1.0 / len(each)
            port += len(each)
        self.network = self._network(pairs)

    def _compile(self) -> None:
        dss.Basic.AllowChangeDir(False)
        for command in (f'compile "{self.master}"', "set controlmode=off", "solve"):
            dss.Text.Command(command)

    @staticmethod
    def _pairs(name: str) -> list[tuple[str, str]]:
        """Return the pairs of nodes between which a load is, "" for ground."""
        dss.Loads.Name(name)
        bus = str(dss.CktElement.BusNames()[0]).split(".")[0].lower()
        nodes = [f"{bus}.{k}" if k else "" for k in dss.CktElement.NodeOrder()]
        phases = int(dss.Loads.Phases())
        if not dss.Loads.IsDelta():
            return [(node, nodes[phases]) for node in nodes[:phases]]
        if phases == 1:
            return [(nodes[0], nodes[1])]
        return [(nodes[k], nodes[(k + 1) % phases]) for k in range(phases)]

    @staticmethod
    def _base_v(node: str) -> float:
        dss.Circuit.SetActiveBus(node.split(".")[0])
        return 1e3 * float(dss.Bus.kVBase())

    def _network(self, pairs: list[tuple[str, str]]) -> LinearNetwork:
        data, indices, pointers = dss.YMatrix.getYsparse(factor=0)
        count = len(self.order)
        siemens = sparse.csc_array((data, indices, pointers), shape=(count, count)).toarray()
        inverse = np.linalg.inv(siemens * self.base_v[:, None] * self.base_v / BASE_W)
        nodes, own, _ = self._element("vsource.source")
        source, own = nodes[:3], own[:3, :3]
        dss.Vsources.First()
        emf = dss.Vsources.BasekV() * 1e3 / 3**0.5 / self.base_v[source]
        phasors = np.diag(emf * np.exp(-2j * np.pi / 3 * np.arange(3)))
        scaled = own * self.base_v[source][:, None] * self.base_v[source] / BASE_W
        into = np.zeros((count, 3), dtype=complex)
        into[source] = scaled
        incidence = np.zeros((count, len(pairs)), dtype=complex)
        for k, (plus, minus) in enumerate(pairs):
            for node, sign in ((plus, 1.0), (minus, -1.0)):
                if node:
                    incidence[self.index[node], k] += sign
        seen, names, triples = self._voltages()
        loading, ends = self._loading()
        return LinearNetwork(
            idle=inverse @ into @ phasors,
            impedance=inverse @ incidence,
            across=incidence.T,
            seen=seen,
            names=names,
            loading=loading,
            ends=ends,
            own=phasors,
            feed=scaled @ phasors,
            tie=-into.T,
            beside=np.zeros(len(pairs), dtype=bool),
            triples=triples,
        )

    def _voltages(self) -> tuple[np.ndarray, list[str], np.ndarray]:
        rows, names = [], []
        for k, node in enumerate(self.order):
            bus, number = node.rsplit(".", 1)
            if number == "4":
                continue
            row = np.zeros(len(self.order))
            row[k] = 1.0
            if f"{bus}.4" in self.index:
                row[self.index[f"{bus}.4"]] = -1.0
            rows.append(row)
            names.append(node)
        at = {name: k for k, name in enumerate(names)}
        buses = dict.fromkeys(name.rsplit(".", 1)[0] for name in names)
        triples = [[at.get(f"{bus}.{k}", -1) for k in (1, 2, 3)] for bus in buses]
        whole = np.array([three for three in triples if min(three) >= 0], dtype=int)
        return np.array(rows), names, whole.reshape(-1, 3)

    def _element(self, name: str) -> tuple[list[int], np.ndarray, int]:
        """Return an element's nodes (-1 is ground), primitive admittance, conductors per end."""
        dss.Circuit.SetActiveElement(name)
        count = int(dss.CktElement.NumConductors())
        buses = [str(bus).split(".")[0].lower() for bus in dss.CktElement.BusNames()]
        nodes = [
            self.index[f"{buses[k // count]}.{number}"] if number else -1
            for k, number in enumerate(dss.CktElement.NodeOrder())
        ]
        return nodes, _matrix(dss.CktElement.YPrim()), count

    def _loading(self) -> tuple[np.ndarray, list[str]]:
        """Return currents of conductors in parts of their ratings, per unit voltages of nodes."""
        rows, names = [], []
        for element in [str(name) for name in dss.PDElements.AllNames()]:
            kind = element.split(".")[0].lower()
            if kind not in ("line", "transformer"):
                continue
            nodes, primitive, count = self._element(element)
            rated = [float(dss.CktElement.NormalAmps())] * 2
            if kind == "transformer":
                dss.Transformers.Name(element.split(".")[1])
                for end in (0, 1):
                    dss.Transformers.Wdg(end + 1)
                    rated[end] = dss.Transformers.kVA() / (3**0.5 * dss.Transformers.kV())
            for k, node in enumerate(nodes):
                if node < 0:
                    continue
                row = np.zeros(len(self.order), dtype=complex)
                for other, admittance in zip(nodes, primitive[k], strict=True):
                    if other >= 0:
                        row[other] += admittance * self.base_v[other] / rated[k // count]
                rows.append(row)
                names.append(f"{element}.{k // count}.{self.order[node].rsplit('.', 1)[1]}")
        return np.array(rows), names

    def solved(self, power_w: np.ndarray, ratio: np.ndarray, source_pu: float) -> np.ndarray | None:
        """Return OpenDSS's own node voltages, per unit, for (c,) active powers and their ratio.

        ``None`` where its iterations diverge, which they do at high voltages and near collapse.
        """
        self._compile()
        dss.Text.Command(f"vsource.source.pu={source_pu}")
        for name, power, of_power in zip(self.customers, -power_w / 1e3, ratio, strict=True):
            dss.Text.Command(f"load.{name}.kw={power:.10g}")
            dss.Text.Command(f"load.{name}.kvar={power * of_power:.10g}")
        for command in ("set tolerance=1e-11", "set maxiterations=500", "solve"):
            dss.Text.Command(command)
        if not dss.Solution.Converged():  # near collapse its fixed point is too weak
            for command in ("set algorithm=newton", "solve"):
                dss.Text.Command(command)
        if not dss.Solution.Converged():
            return None
        flat = np.array(dss.YMatrix.getV())[2:]
        volts: np.ndarray = (flat[0::2] + 1j * flat[1::2])[: len(self.base_v)] / self.base_v
        return volts


class PhaseAttack:
    """Brute force on one case; c customers.

    A point has c places of active power, and those of the held voltages in the band: none, one for
    all phases, or three.
    """

    def __init__(self, case: PhaseCase, folder: Path) -> None:
        self.case = case
        self.master = folder / "circuit.dss"
        self.master.write_text(case.text)
        self.circuit = OpenDssOracle(self.master)
        self.points = [f"load:{name}" for name in self.circuit.customers]
        self.count = len(self.points)
        self.ratio = np.tan(np.arccos([case.power_factor[point] for point in self.points]))
        self.low, self.high = case.interface.voltage_min_pu, case.interface.voltage_max_pu
        self.sources = self._sources()

    def _sources(self) -> np.ndarray:
        """Return places of the held voltages in the band that are tried, shape (S, h)."""
        apart, low, high = self.case.interface.unbalance_pu, self.low, self.high
        if high == low:
            return np.zeros((1, 0))
        if not apart:
            return np.array([[0.0], [0.5], [1.0]])
        each = np.eye(3)
        sides = np.concatenate([each, -each, each - 1.0 / 3.0, 1.0 / 3.0 - each])
        most = np.repeat([high, -low, apart, apart], 3)
        middle = np.full(3, 0.5 * (low + high))
        found = HalfspaceIntersection(np.hstack([sides, -most[:, None]]), middle).intersections
        inside = np.random.default_rng(0).random((6, 3))
        extreme = np.unique(np.round((found - low) / (high - low), 10), axis=0)
        return np.concatenate([extreme, inside])

    def place(self, at: np.ndarray, limits_w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return active powers in watts (c, B), and held voltages (3, B), of points (B, D)."""
        up, down = np.split(np.asarray(limits_w, dtype=float), 2)
        power = (at[:, : self.count] * (up + down) - down).T
        places = at[:, self.count :]
        if places.shape[1] < 3:
            width = places if places.shape[1] else np.zeros((len(at), 1))
            return power, np.repeat(self.low + (self.high - self.low) * width, 3, axis=1).T
        held = self.low + (self.high - self.low) * places
        mean = held.mean(axis=1, keepdims=True)
        off = np.abs(held - mean).max(axis=1, keepdims=True)
        part = np.minimum(1.0, self.case.interface.unbalance_pu / np.maximum(off, 1e-15))
        return power, (mean + part * (held - mean)).T

    def worst(self, limits_w: np.ndarray) -> Worst:
        """Return the worst point of a box of envelopes."""
        contract, voltage = self.case.interface, self.case.voltage
        limits = Limits(
            voltage.minimum_pu,
            voltage.maximum_pu,
            None if contract.injection_limit_w is None else contract.injection_limit_w / BASE_W,
            None if contract.withdrawal_limit_w is None else contract.withdrawal_limit_w / BASE_W,
            voltage.unbalance,
        )

        def place(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            power, held = self.place(at, limits_w)
            asked = power / BASE_W * (1.0 + 1j * self.ratio[:, None])
            return self.circuit.share @ asked, held

        oracle = LinearOracle([self.circuit.network], limits, place)
        return oracle.worst(products(corners(self.count), self.sources))

    def differs_from_opendss(self, worst: Worst, limits_w: np.ndarray) -> float:
        """Return the largest difference of a voltage from OpenDSS's own at a point, per unit.

        Where OpenDSS finds no voltages, both are compared at a part of the power.
        0 where the phases of the source are apart: OpenDSS has no such source.
        """
        power, held = self.place(worst.at[None, :], limits_w)
        if np.ptp(held) > 1e-12:
            return 0.0
        for part in (1.0, 0.8, 0.6, 0.4, 0.2):
            theirs = self.circuit.solved(part * power[:, 0], self.ratio, float(held[0, 0]))
            if theirs is not None:
                asked = part * power / BASE_W * (1.0 + 1j * self.ratio[:, None])
                mine, _ = self.circuit.network.solve(self.circuit.share @ asked, held)
                return float(np.abs(mine[:, 0] - theirs).max())
        raise AssertionError(f"OpenDSS finds no voltages at a fifth of {power[:, 0]} W")
