"""Random unbalanced OpenDSS circuits: transformers of every kind, reactors, lines, capacitors."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

ROOT3 = math.sqrt(3.0)
CONNECTIONS = (("wye", "wye"), ("delta", "wye"), ("wye", "delta"), ("delta", "delta"))


@dataclass
class Circuit:
    """A circuit as text, and what is known of it.

    ``ratings_a`` has the rating of each end of each monitored element, by id and side;
    ``commands`` put the taps where ``taps`` says.
    """

    rng: np.random.Generator
    text: list[str] = field(default_factory=list)
    ratings_a: dict[tuple[str, str], float] = field(default_factory=dict)
    taps: dict[str, int] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    customers: int = 0
    count: int = 0

    def name(self, kind: str) -> str:
        self.count += 1
        return f"{kind}{self.count}"

    def rated(self, element: str, *amps: float) -> None:
        for side, each in enumerate(amps, 1):
            self.ratings_a[element, str(side)] = float(each)

    def uniform(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def load(self, bus: str, kv: float, *, delta_only: bool = False) -> None:
        """Add a customer on one, two or three phases; ``kv`` is line to line."""
        name = self.name("l")
        kind = self.rng.choice(["three", "pair"] if delta_only else ["three", "pair", "one", "wye"])
        first, second, _ = self.rng.permutation([1, 2, 3])
        where = {
            "three": f"bus1={bus} phases=3 conn=delta kv={kv}",
            "pair": f"bus1={bus}.{first}.{second} phases=1 conn=delta kv={kv}",
            "one": f"bus1={bus}.{first} phases=1 kv={kv / ROOT3}",
            "wye": f"bus1={bus} phases=3 kv={kv}",
        }[kind]
        self.text.append(f"new load.{name} {where} kw=1 pf=1")
        self.customers += 1

    def line(self, start: str, end: str) -> None:
        name, amps = self.name("line"), round(self.uniform(100, 600), 1)
        length = f"length={self.uniform(0.2, 2.0):.4f} units=km"
        if self.rng.random() < 0.5:  # rated by its code, which is 400 A in words where it is so
            amps = float(self.rng.choice([amps, 400.0]))
            code = self.name("code")
            r, x = self.uniform(0.1, 0.6), self.uniform(0.2, 0.5)
            self.text.append(
                f"new linecode.{code} nphases=3 units=km r1={r} x1={x} r0={3 * r} x0={3 * x} "
                f"c1={self.uniform(5, 200)} c0=4 normamps={amps}"
            )
            self.text.append(f"new line.{name} bus1={start} bus2={end} linecode={code} {length}")
        else:
            own = [round(self.uniform(0.2, 0.6), 4) for _ in range(3)]
            matrix = f"[{own[0]} | 0.05 {own[1]} | 0.04 0.06 {own[2]}]"
            self.text.append(
                f"new line.{name} bus1={start} bus2={end} phases=3 rmatrix={matrix} "
                f"xmatrix=[0.5 | 0.2 0.55 | 0.15 0.18 0.6] "
                f"cmatrix=[9 | -1 10 | -1.5 -2 11] normamps={amps} {length}"
            )
        self.rated(f"line:{name}", amps, amps)

    def transformer(self, start: str, end: str, kv: float, low_kv: float) -> None:
        """Add a transformer of two or three windings, its ratios and ratings off nominal."""
        name = self.name("t")
        high, low = CONNECTIONS[self.rng.integers(len(CONNECTIONS))]
        kva = round(self.uniform(400, 2000), 1)
        volts = [
            round(kv * self.uniform(0.95, 1.05), 4),
            round(low_kv * self.uniform(0.95, 1.1), 4),
        ]
        powers, conns, buses = [kva, kva], [high, low], [start, end]
        if self.rng.random() < 0.3:
            powers.append(round(kva / 3, 1))
            volts.append(0.48)
            conns.append("wye")
            buses.append(f"{end}t")
        scale, given = self.overload(kva)
        taps = " ".join(f"{self.rng.choice([1.0, 0.975, 1.025])}" for _ in powers)
        self.text.append(
            f"new transformer.{name} phases=3 windings={len(powers)} buses=({' '.join(buses)}) "
            f"conns=({' '.join(conns)}) kvs=({_row(volts)}) kvas=({_row(powers)}) "
            f"xhl={self.uniform(3, 8)} xht={self.uniform(3, 8)} xlt={self.uniform(3, 8)} "
            f"%noloadloss=0.2 %imag=0.5 taps=({taps}) leadlag={self.rng.choice(['lead', 'lag'])} "
            f"{given}"
        )
        self.rated(
            f"trafo:{name}",
            *(scale * p / v / ROOT3 for p, v in zip(powers, volts, strict=True)),
        )
        if low == "delta":  # its voltage to ground would float
            cap = self.name("c")
            self.text.append(f"new capacitor.{cap} bus1={end} phases=3 kv={low_kv} kvar=20")
        self.load(end, low_kv, delta_only=low == "delta")
        if len(powers) == 3:
            self.load(f"{end}t", 0.48)

    def overload(self, kva: float) -> tuple[float, str]:
        """Return the ratio of ``normhkva`` to the kVA, and the property as text."""
        if self.rng.random() < 0.4:
            return 1.0, ""  # OpenDSS would permit 110 %
        scale = round(self.uniform(0.6, 1.3), 3)
        return scale, f"normhkva={kva * scale!r}"

    def single(self, start: str, kv: float) -> None:
        """Add a single-phase transformer with a split low-voltage side."""
        name, phase = self.name("s"), int(self.rng.integers(1, 4))
        kva = round(self.uniform(50, 100), 1)
        bus, scale, given = f"{name}low", *self.overload(kva)
        self.text.append(
            f"new transformer.{name} phases=1 windings=3 "
            f"buses=({start}.{phase} {bus}.1.0 {bus}.0.2) "
            f"kvs=({kv / ROOT3:.5f} 0.12 0.12) kvas=({_row([kva] * 3)}) "
            f"xhl=2 xht=2 xlt=1.4 {given}"
        )
        amps = scale * kva / float(f"{kv / ROOT3:.5f}")
        self.rated(f"trafo:{name}", amps, scale * kva / 0.12, scale * kva / 0.12)
        self.text.append(f"new load.{self.name('l')} bus1={bus}.1.2 phases=1 kv=0.24 kw=1 pf=1")
        self.customers += 1

    def auto(self, start: str, end: str, kv: float, low_kv: float) -> None:
        """Add an autotransformer, with or without a delta tertiary winding."""
        name, kva = self.name("a"), round(self.uniform(800, 3000), 1)
        volts, powers, conns, buses = [kv, low_kv], [kva, kva], ["series", "wye"], [start, end]
        if self.rng.random() < 0.5:
            volts.append(2.4)
            powers.append(round(kva / 4, 1))
            conns.append("delta")
            buses.append(f"{end}t")
            self.text.append(f"new capacitor.{self.name('c')} bus1={end}t phases=3 kv=2.4 kvar=20")
            self.load(f"{end}t", 2.4, delta_only=True)
        scale, given = self.overload(kva)
        self.text.append(
            f"new autotrans.{name} phases=3 windings={len(volts)} buses=({' '.join(buses)}) "
            f"conns=({' '.join(conns)}) kvs=({_row(volts)}) kvas=({_row(powers)}) "
            f"xhx=6 xht=9 xxt=8 {given}"
        )
        self.rated(
            f"autotrans:{name}",
            *(scale * p / v / ROOT3 for p, v in zip(powers, volts, strict=True)),
        )
        self.load(end, low_kv)

    def regulator(self, start: str, end: str, kv: float) -> None:
        """Add three regulators and the positions at which they stand."""
        for phase in (1, 2, 3):
            name, position = self.name("r"), int(self.rng.integers(-16, 17))
            volts = kv / ROOT3
            self.text.append(
                f"new transformer.{name} phases=1 buses=({start}.{phase} {end}.{phase}) "
                f"kvs=({volts:.6f} {volts:.6f}) kvas=(1500 1500) xhl=0.5 normhkva=1500"
            )
            self.text.append(
                f"new regcontrol.{name}c transformer={name} winding=2 vreg=120 ptratio=60 band=2"
            )
            self.rated(f"trafo:{name}", *[1500 / float(f"{volts:.6f}")] * 2)
            key = str(self.rng.choice([name, f"{name}c", f"{name}.2"]))
            self.taps[key] = position
            self.commands.append(f"regcontrol.{name}c.tapnum={position}")

    def series(self, start: str, end: str, kv: float) -> None:
        """Add a reactor or a capacitor in series."""
        amps = round(self.uniform(100, 400), 1)
        if self.rng.random() < 0.3:
            name = self.name("sc")
            self.text.append(
                f"new capacitor.{name} bus1={start} bus2={end} phases=3 cuf=2000 kv={kv} "
                f"normamps={amps}"
            )
            self.rated(f"capacitor:{name}", amps, amps)
            return
        name = self.name("x")
        size = "r=0.05 x=0.6" if self.rng.random() < 0.5 else f"kv={kv} kvar=200000"
        self.text.append(
            f"new reactor.{name} bus1={start} bus2={end} phases=3 {size} normamps={amps}"
        )
        self.rated(f"reactor:{name}", amps, amps)

    def shunt(self, bus: str, kv: float) -> None:
        name = self.name("q")
        connection = self.rng.choice(["wye", "delta"])
        kind = self.rng.choice(["capacitor", "reactor"])
        kvar = self.uniform(50, 300)
        self.text.append(
            f"new {kind}.{name} bus1={bus} phases=3 conn={connection} kv={kv} kvar={kvar}"
        )


def _row(values: list[float]) -> str:
    return " ".join(map(repr, values))


def random_circuit(seed: int) -> tuple[str, Circuit]:
    """Return a circuit of 12.47 kV with three to seven sections as text, and what is known."""
    circuit = Circuit(np.random.default_rng(seed))
    rng, kv, last = circuit.rng, 12.47, "b0"
    circuit.text = [
        "clear",
        f"new circuit.random{seed} bus1=b0 basekv=12.47 phases=3 mvasc3=500 mvasc1=400",
    ]
    circuit.shunt("b0", kv)
    for k in range(1, int(rng.integers(4, 9))):
        bus = f"b{k}"
        kind = rng.choice(["line", "line", "series", "regulator", "shunt"])
        if kind == "series":
            circuit.series(last, bus, kv)
        elif kind == "regulator" and not circuit.taps:
            circuit.regulator(last, bus, kv)
        else:
            circuit.line(last, bus)
            if kind == "shunt":
                circuit.shunt(bus, kv)
        for _ in range(int(rng.integers(0, 3))):
            what = rng.choice(["transformer", "auto", "single", "load"])
            low = circuit.name("n")
            if what == "transformer":
                circuit.transformer(bus, low, kv, float(rng.choice([0.48, 4.16])))
            elif what == "auto":
                circuit.auto(bus, low, kv, 7.2)
            elif what == "single":
                circuit.single(bus, kv)
            else:
                circuit.load(bus, kv)
        last = bus
    circuit.load(last, kv)
    circuit.text += ["set voltagebases=[12.47 7.2 4.16 2.4 0.48 0.208]", "calcvoltagebases", ""]
    return "\n".join(circuit.text), circuit
