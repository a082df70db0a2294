"""Write the IEEE distribution test feeders of 13, 34, 37 and 123 nodes as OpenDSS circuits.

The figures are those of the IEEE PES Test Feeder Working Group's documents
(<https://cmte.ieee.org/pes-testfeeders/resources/>), read from the tables of
github.com/gisel-uninorte/SimpleDistributionPowerFlow.jl (13, 34, 123) and from OpenDSS's line codes
(37); where the two differ (80 to 81 of 123: 475 or 175 feet) the former.  Ampacities are quoted
from memory of Kersting's conductor tables ("Distribution System Modeling and Analysis") and were
not looked up: check them before a rating matters.  Chosen here: switches have 1e-4 ohm and the
ampacity of the line behind them, regulators 0.001 % of leakage and 2 MVA (5 MVA at 150 of 123); a
distributed load is at the middle of its line; the substation's transformer is left out, as the
published solutions hold the voltage at the first node.  Taps are those of the published solutions.

Formats of the tables, entries end with a semicolon:
configurations  name, phases, ampacity / R / X (ohm per mile) / B (microsiemens per mile), lower
                triangles by rows
lines           from, to, length in feet, configuration
loads           node (or the two ends of a line), connection and model, kW+kvar of each phase (of
                a delta load: ab, bc, ca)

    python gateway/data/make_ieee_feeders.py
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
NODE = {"a": 1, "b": 2, "c": 3}
MODELS = {"PQ": 1, "Z": 2, "I": 5}
OMEGA = 2 * math.pi * 60


@dataclass(frozen=True, slots=True)
class Feeder:
    """The tables of a feeder, and what is written as it is before and after its lines."""

    kv: float
    configurations: str
    lines: str
    loads: str
    before: str
    after: str
    bases: str


def entries(table: str) -> Iterator[list[str]]:
    """Yield the words of each entry of a table."""
    return (entry.split() for entry in table.split(";") if entry.strip())


def triangle(values: list[float]) -> str:
    """Return a lower triangle as OpenDSS writes it."""
    rows: list[str] = []
    start = 0
    while start < len(values):
        size = len(rows) + 1
        rows.append(" ".join(f"{value:.8g}" for value in values[start : start + size]))
        start += size
    return f"[{' | '.join(rows)}]"


def codes(feeder: Feeder) -> tuple[list[str], dict[str, str]]:
    """Return the line codes, and the phases of each."""
    text, phases = [], {}
    for entry in feeder.configurations.split(";"):
        if not entry.strip():
            continue
        head, *matrices = (part.split() for part in entry.split("/"))
        r, x, b = ([float(word) for word in matrix] for matrix in matrices)
        name, phases[head[0]], amps = head
        nanofarads = [value * 1e3 / OMEGA for value in b]
        text.append(
            f"new linecode.{name} nphases={len(head[1])} basefreq=60 units=mi normamps={amps} "
            f"rmatrix={triangle(r)} xmatrix={triangle(x)} cmatrix={triangle(nanofarads)}"
        )
    return text, phases


def lines(feeder: Feeder, phases: dict[str, str]) -> Iterator[str]:
    """Yield the lines; those with a distributed load have a node in the middle."""
    divided = {entry[0] for entry in entries(feeder.loads) if "-" in entry[0]}
    for start, end, feet, code in entries(feeder.lines):
        nodes = "".join(f".{NODE[phase]}" for phase in phases[code])
        middle = f"{start}-{end}"
        parts = [(start, end, float(feet))]
        if middle in divided:
            parts = [(start, middle, float(feet) / 2), (middle, end, float(feet) / 2)]
        for one, other, length in parts:
            yield (
                f"new line.{one.replace('-', '_')}_to_{other.replace('-', '_')} "
                f"bus1={one}{nodes} bus2={other}{nodes} phases={len(phases[code])} "
                f"linecode={code} length={length:g} units=ft"
            )


def loads(feeder: Feeder) -> Iterator[str]:
    """Yield the loads: one for each phase, or one where all three are equal."""
    for node, kind, *cells in entries(feeder.loads):
        connection, model = kind.split("-")
        delta = connection == "D"
        kv = LOW_KV.get(node, feeder.kv)
        tail = f"conn={'delta' if delta else 'wye'} model={MODELS[model]} vminpu=0.5 vmaxpu=1.5"
        if len(set(cells)) == 1:
            kw, kvar = (3 * float(word) for word in cells[0].split("+"))
            yield f"new load.{node} bus1={node} phases=3 kv={kv} kw={kw:g} kvar={kvar:g} {tail}"
            continue
        for phase, cell in zip("abc", cells, strict=True):
            if cell == "0":
                continue
            kw, kvar = (float(word) for word in cell.split("+"))
            other = f".{NODE[phase] % 3 + 1}" if delta else ""
            across = kv if delta else kv / math.sqrt(3)
            yield (
                f"new load.{node}{phase} bus1={node}.{NODE[phase]}{other} phases=1 "
                f"kv={across:.6g} kw={kw:g} kvar={kvar:g} {tail}"
            )


LOW_KV = {"634": 0.48, "890": 4.16}
"""Voltages of the nodes behind a feeder's transformer, kV."""


def circuit(name: str, feeder: Feeder) -> str:
    """Return the circuit as OpenDSS reads it."""
    text, phases = codes(feeder)
    first = f"! The IEEE test feeder {name}, written by make_ieee_feeders.py."
    parts = [first, "clear", "set defaultbasefrequency=60", feeder.before.strip(), *text]
    parts += [*lines(feeder, phases), feeder.after.strip(), *loads(feeder)]
    return "\n".join([*parts, f"set voltagebases=[{feeder.bases}]", "calcvoltagebases", ""])


def regulators(place: str, taps: str, settings: str) -> str:
    """Return a regulator of single-phase units with line drop compensation, as text.

    ``place`` is name, first and last node, phases and kV; ``settings`` are volts, bandwidth,
    turns ratio, rated current of the current transformer, R and X of the compensation.
    """
    name, start, end, phases, kv = place.split()
    vreg, band, ratio, amps, r, x = settings.split()
    text = []
    for phase, tap in zip(phases, taps.split(), strict=True):
        unit, node = f"{name}{phase}", NODE[phase]
        text.append(
            f"new transformer.{unit} phases=1 buses=({start}.{node} {end}.{node}) "
            f"kvs=({kv} {kv}) kvas=(2000 2000) xhl=0.001 %loadloss=0.0001 ppm_antifloat=0 "
            f"taps=(1 {1 + int(tap) * 0.00625})"
        )
        text.append(
            f"new regcontrol.{unit} transformer={unit} winding=2 vreg={vreg} band={band} "
            f"ptratio={ratio} ctprim={amps} r={r} x={x} tapnum={tap}"
        )
    return "\n".join(text)


def switch(start: str, end: str, amps: float, phases: str = "abc") -> str:
    """Return a switch as a short line, as text."""
    nodes = "".join(f".{NODE[phase]}" for phase in phases)
    return (
        f"new line.sw_{start}_{end} bus1={start}{nodes} bus2={end}{nodes} phases={len(phases)} "
        f"r1=1e-4 r0=1e-4 x1=0 x0=0 c1=0 c0=0 length=1 normamps={amps:g}"
    )


IEEE13 = Feeder(
    4.16,
    """
601 abc 730 / 0.3465 0.156 0.3375 0.158 0.1535 0.3414 /
    1.0179 0.5017 1.0478 0.4236 0.3849 1.0348 / 6.2998 -1.9958 5.9597 -1.2595 -0.7417 5.6386;
602 abc 340 / 0.7526 0.158 0.7475 0.156 0.1535 0.7436 /
    1.1814 0.4236 1.1983 0.5017 0.3849 1.2112 / 5.699 -1.0817 5.1795 -1.6905 -0.6588 5.4246;
603 bc 230 / 1.3294 0.2066 1.3238 / 1.3471 0.4591 1.3569 / 4.7097 -0.8999 4.6658;
604 ac 230 / 1.3238 0.2066 1.3294 / 1.3569 0.4591 1.3471 / 4.6658 -0.8999 4.7097;
605 c 230 / 1.3292 / 1.3475 / 4.5193;
606 abc 260 / 0.7982 0.3192 0.7891 0.2849 0.3192 0.7982 /
    0.4463 0.0328 0.4041 -0.0143 0.0328 0.4463 / 96.8897 0 96.8897 0 0 96.8897;
607 a 165 / 1.3425 / 0.5124 / 88.9912;
""",
    """
rg60 632 2000 601; 632 645 500 603; 632 633 500 602; 645 646 300 603; 684 652 800 607;
632 671 2000 601; 671 684 300 604; 671 680 1000 601; 684 611 300 605; 692 675 500 606
""",
    """
634 Y-PQ 160+110 120+90 120+90; 645 Y-PQ 0 170+125 0; 646 D-Z 0 230+132 0;
652 Y-Z 128+86 0 0; 671 D-PQ 385+220 385+220 385+220; 675 Y-PQ 485+190 68+60 290+212;
692 D-I 0 0 170+151; 611 Y-I 0 0 170+80;
632-671 Y-PQ 17+10 66+38 117+68
""",
    f"""
new circuit.ieee13 bus1=650 basekv=4.16 pu=1 phases=3 r1=1e-6 x1=1e-6 r0=1e-6 x0=1e-6
{regulators("reg 650 rg60 abc 2.4", "10 8 11", "122 2 20 700 3 9")}
""",
    f"""
{switch("671", "692", 260)}
new transformer.xfm1 phases=3 buses=(633 634) conns=(wye wye) kvs=(4.16 0.48) kvas=(500 500) \
xhl=2 %rs=(0.55 0.55)
new capacitor.c675 bus1=675 phases=3 kv=4.16 kvar=600
new capacitor.c611 bus1=611.3 phases=1 kv=2.4 kvar=100
""",
    "4.16 0.48",
)

IEEE34 = Feeder(
    24.9,
    """
300 abc 230 / 1.3368 0.2101 1.3238 0.213 0.2066 1.3294 /
    1.3343 0.5779 1.3569 0.5015 0.4591 1.3471 / 5.335 -1.5313 5.0979 -0.9943 -0.6212 4.888;
301 abc 180 / 1.93 0.2327 1.9157 0.2359 0.2288 1.9219 /
    1.4115 0.6442 1.4281 0.5691 0.5238 1.4209 / 5.1207 -1.4364 4.9055 -0.9402 -0.5951 4.7154;
302 a 140 / 2.7995 / 1.4855 / 4.2251;
303 b 140 / 2.7995 / 1.4855 / 4.2251;
304 b 180 / 1.9217 / 1.4212 / 4.3637;
""",
    """
800 802 2580 300; 802 806 1730 300; 806 808 32230 300; 808 810 5804 303; 808 812 37500 300;
812 814 29730 300; 814r 850 10 301; 816 818 1710 302; 816 824 10210 301; 818 820 48150 302;
820 822 13740 302; 824 826 3030 303; 824 828 840 301; 828 830 20440 301; 830 854 520 301;
832 858 4900 301; 834 860 2020 301; 834 842 280 301; 836 840 860 301; 836 862 280 301;
842 844 1350 301; 844 846 3640 301; 846 848 530 301; 850 816 310 301; 852r 832 10 301;
854 856 23330 303; 854 852 36830 301; 858 864 1620 302; 858 834 5830 301; 860 836 2680 301;
862 838 4860 304; 888 890 10560 300
""",
    """
860 Y-PQ 20+16 20+16 20+16; 840 Y-I 9+7 9+7 9+7; 844 Y-Z 135+105 135+105 135+105;
848 D-PQ 20+16 20+16 20+16; 890 D-I 150+75 150+75 150+75; 830 D-Z 10+5 10+5 25+10;
802-806 Y-PQ 0 30+15 25+14; 808-810 Y-I 0 16+8 0; 818-820 Y-Z 34+17 0 0;
820-822 Y-PQ 135+70 0 0; 816-824 D-I 0 5+2 0; 824-826 Y-I 0 40+20 0; 824-828 Y-PQ 0 0 4+2;
828-830 Y-PQ 7+3 0 0; 854-856 Y-PQ 0 4+2 0; 832-858 D-Z 7+3 2+1 6+3; 858-864 Y-PQ 2+1 0 0;
858-834 D-PQ 4+2 15+8 13+7; 834-860 D-Z 16+8 20+10 110+55; 860-836 D-PQ 30+15 10+6 42+22;
836-840 D-I 18+9 22+11 0; 862-838 Y-PQ 0 28+14 0; 842-844 Y-PQ 9+5 0 0;
844-846 Y-PQ 0 25+12 20+11; 846-848 Y-PQ 0 23+11 0
""",
    f"""
new circuit.ieee34 bus1=800 basekv=24.9 pu=1.05 phases=3 r1=1e-6 x1=1e-6 r0=1e-6 x0=1e-6
{regulators("reg1 814 814r abc 14.376", "12 5 5", "122 2 120 100 2.7 1.6")}
{regulators("reg2 852 852r abc 14.376", "13 11 12", "124 2 120 100 2.5 1.5")}
""",
    """
new transformer.xfm1 phases=3 buses=(832 888) conns=(wye wye) kvs=(24.9 4.16) kvas=(500 500) \
xhl=4.08 %rs=(0.95 0.95)
new capacitor.c844 bus1=844 phases=3 kv=24.9 kvar=300
new capacitor.c848 bus1=848 phases=3 kv=24.9 kvar=450
""",
    "24.9 4.16",
)

IEEE37 = Feeder(
    4.8,
    """
721 abc 550 / 0.2926 0.0673 0.2646 0.0337 0.0673 0.2926 /
    0.1973 -0.0368 0.19 -0.0417 -0.0368 0.1973 / 159.7919 0 159.7919 0 0 159.7919;
722 abc 395 / 0.4751 0.1629 0.4488 0.1234 0.1629 0.4751 /
    0.2973 -0.0326 0.2678 -0.0607 -0.0326 0.2973 / 127.8306 0 127.8306 0 0 127.8306;
723 abc 175 / 1.2936 0.4871 1.3022 0.4585 0.4871 1.2936 /
    0.6713 0.2111 0.6326 0.1521 0.2111 0.6713 / 74.8405 0 74.8405 0 0 74.8405;
724 abc 120 / 2.0952 0.5204 2.1068 0.4926 0.5204 2.0952 /
    0.7758 0.2738 0.7398 0.2123 0.2738 0.7758 / 60.2483 0 60.2483 0 0 60.2483;
""",
    """
701 702 960 722; 702 705 400 724; 702 713 360 723; 702 703 1320 722; 703 727 240 724;
703 730 600 723; 704 714 80 724; 704 720 800 723; 705 742 320 724; 705 712 240 724;
706 725 280 724; 707 724 760 724; 707 722 120 724; 708 733 320 723; 708 732 320 724;
709 731 600 723; 709 708 320 723; 710 735 200 724; 710 736 1280 724; 711 741 400 723;
711 740 200 724; 713 704 520 723; 714 718 520 724; 720 707 920 724; 720 706 600 723;
727 744 280 723; 730 709 200 723; 733 734 560 723; 734 737 640 723; 734 710 520 724;
737 738 400 723; 738 711 400 723; 744 728 200 724; 744 729 280 724; 799r 701 1850 721
""",
    """
701 D-PQ 140+70 140+70 350+175; 712 D-PQ 0 0 85+40; 713 D-PQ 0 0 85+40; 714 D-I 17+8 21+10 0;
718 D-Z 85+40 0 0; 720 D-PQ 0 0 85+40; 722 D-I 0 140+70 21+10; 724 D-Z 0 42+21 0;
725 D-PQ 0 42+21 0; 727 D-PQ 0 0 42+21; 728 D-PQ 42+21 42+21 42+21; 729 D-I 42+21 0 0;
730 D-Z 0 0 85+40; 731 D-Z 0 85+40 0; 732 D-PQ 0 0 42+21; 733 D-I 85+40 0 0;
734 D-PQ 0 0 42+21; 735 D-PQ 0 0 85+40; 736 D-Z 0 42+21 0; 737 D-I 140+70 0 0;
738 D-PQ 126+62 0 0; 740 D-PQ 0 0 85+40; 741 D-I 0 0 42+21; 742 D-Z 8+4 85+40 0;
744 D-PQ 42+21 0 0
""",
    """
new circuit.ieee37 bus1=799 basekv=4.8 pu=1 phases=3 r1=1e-6 x1=1e-6 r0=1e-6 x0=1e-6
new transformer.rega phases=1 buses=(799.1.2 799r.1.2) conns=(delta delta) kvs=(4.8 4.8) \
kvas=(2000 2000) xhl=0.001 %loadloss=0.0001 ppm_antifloat=0 taps=(1 1.04375)
new transformer.regc phases=1 buses=(799.3.2 799r.3.2) conns=(delta delta) kvs=(4.8 4.8) \
kvas=(2000 2000) xhl=0.001 %loadloss=0.0001 ppm_antifloat=0 taps=(1 1.025)
new line.reg_b bus1=799.2 bus2=799r.2 phases=1 r1=1e-4 r0=1e-4 x1=0 x0=0 c1=0 c0=0 length=1 \
normamps=550
new regcontrol.rega transformer=rega winding=2 vreg=122 band=2 ptratio=40 ctprim=350 r=1.5 x=3 \
tapnum=7
new regcontrol.regc transformer=regc winding=2 vreg=122 band=2 ptratio=40 ctprim=350 r=1.5 x=3 \
tapnum=4
""",
    """
new transformer.xfm1 phases=3 buses=(709 775) conns=(delta delta) kvs=(4.8 0.48) kvas=(500 500) \
xhl=1.81 %rs=(0.045 0.045)
""",
    "4.8 0.48",
)

IEEE123 = Feeder(
    4.16,
    """
1 abc 530 / 0.4576 0.156 0.4666 0.1535 0.158 0.4615 /
    1.078 0.5017 1.0482 0.3849 0.4236 1.0651 / 5.6765 -1.8319 5.9809 -0.6982 -1.1645 5.3971;
2 abc 530 / 0.4666 0.158 0.4615 0.156 0.1535 0.4576 /
    1.0482 0.4236 1.0651 0.5017 0.3849 1.078 / 5.9809 -1.1645 5.3971 -1.8319 -0.6982 5.6765;
3 abc 530 / 0.4615 0.1535 0.4576 0.158 0.156 0.4666 /
    1.0651 0.3849 1.078 0.4236 0.5017 1.0482 / 5.3971 -0.6982 5.6765 -1.1645 -1.8319 5.9809;
4 abc 530 / 0.4615 0.158 0.4666 0.1535 0.156 0.4576 /
    1.0651 0.4236 1.0482 0.3849 0.5017 1.078 / 5.3971 -1.1645 5.9809 -0.6982 -1.8319 5.6765;
5 abc 530 / 0.4666 0.156 0.4576 0.158 0.1535 0.4615 /
    1.0482 0.5017 1.078 0.4236 0.3849 1.0651 / 5.9809 -1.8319 5.6765 -1.1645 -0.6982 5.3971;
6 abc 530 / 0.4576 0.1535 0.4615 0.156 0.158 0.4666 /
    1.078 0.3849 1.0651 0.5017 0.4236 1.0482 / 5.6765 -0.6982 5.3971 -1.8319 -1.1645 5.9809;
7 ac 530 / 0.4576 0.1535 0.4615 / 1.078 0.3849 1.0651 / 5.1154 -1.0549 5.1704;
8 ab 530 / 0.4576 0.1535 0.4615 / 1.078 0.3849 1.0651 / 5.1154 -1.0549 5.1704;
9 a 230 / 1.3292 / 1.3475 / 4.5193;
10 b 230 / 1.3292 / 1.3475 / 4.5193;
11 c 230 / 1.3292 / 1.3475 / 4.5193;
12 abc 155 / 1.5209 0.5198 1.5329 0.4924 0.5198 1.5209 /
    0.7521 0.2775 0.7162 0.2157 0.2775 0.7521 / 67.2242 0 67.2242 0 0 67.2242;
""",
    """
1 2 175 10; 1 3 250 11; 1 7 300 1; 3 4 200 11; 3 5 325 11; 5 6 250 11; 7 8 200 1; 8 9 225 9;
8 12 225 10; 8 13 300 1; 13 18 825 2; 13 34 150 11; 14 10 250 9; 14 11 250 9; 15 16 375 11;
15 17 350 11; 18 19 250 9; 18 21 300 2; 19 20 325 9; 21 22 525 10; 21 23 250 2; 23 24 550 11;
23 25 275 2; 25 28 200 2; 26 27 275 7; 26 31 225 11; 27 33 500 9; 28 29 300 2; 29 30 350 2;
30 250 200 2; 31 32 300 11; 34 15 100 11; 35 36 650 8; 35 40 250 1; 36 37 300 9;
36 38 250 10; 38 39 325 10; 40 41 325 11; 40 42 250 1; 42 43 500 10; 42 44 200 1;
44 45 200 9; 44 47 250 1; 45 46 300 9; 47 48 150 4; 47 49 250 4; 49 50 250 4; 50 51 250 4;
51 151 500 4; 52 53 200 1; 53 54 125 1; 54 55 275 1; 54 57 350 3; 55 56 275 1; 57 58 250 10;
57 60 750 3; 58 59 250 10; 60 61 550 5; 60 62 250 12; 62 63 175 12; 63 64 350 12;
64 65 425 12; 65 66 325 12; 67 68 200 9; 67 72 275 3; 67 97 250 3; 68 69 275 9; 69 70 325 9;
70 71 275 9; 72 73 275 11; 72 76 200 3; 73 74 350 11; 74 75 400 11; 76 77 400 6; 76 86 700 3;
77 78 100 6; 78 79 225 6; 78 80 475 6; 80 81 475 6; 81 82 250 6; 81 84 675 11; 82 83 250 6;
84 85 475 11; 86 87 450 6; 87 88 175 9; 87 89 275 6; 89 90 225 10; 89 91 225 6; 91 92 300 11;
91 93 225 6; 93 94 275 9; 93 95 300 6; 95 96 200 10; 97 98 275 3; 98 99 550 3; 99 100 300 3;
100 450 800 3; 101 102 225 11; 101 105 275 3; 102 103 325 11; 103 104 700 11; 105 106 225 10;
105 108 325 3; 106 107 575 10; 108 109 450 9; 108 300 1000 3; 109 110 300 9; 110 111 575 9;
110 112 125 9; 112 113 525 9; 113 114 325 9; 135 35 375 4; 149 1 400 1; 152 52 400 1;
197 101 250 3; 9r 14 425 9; 25r 26 350 7; 160r 67 350 6
""",
    """
1 Y-PQ 40+20 0 0; 2 Y-PQ 0 20+10 0; 4 Y-PQ 0 0 40+20; 5 Y-I 0 0 20+10; 6 Y-Z 0 0 40+20;
7 Y-PQ 20+10 0 0; 9 Y-PQ 40+20 0 0; 10 Y-I 20+10 0 0; 11 Y-Z 40+20 0 0; 12 Y-PQ 0 20+10 0;
16 Y-PQ 0 0 40+20; 17 Y-PQ 0 0 20+10; 19 Y-PQ 40+20 0 0; 20 Y-I 40+20 0 0; 22 Y-Z 0 40+20 0;
24 Y-PQ 0 0 40+20; 28 Y-I 40+20 0 0; 29 Y-Z 40+20 0 0; 30 Y-PQ 0 0 40+20; 31 Y-PQ 0 0 20+10;
32 Y-PQ 0 0 20+10; 33 Y-I 40+20 0 0; 34 Y-Z 0 0 40+20; 35 D-PQ 40+20 0 0; 37 Y-Z 40+20 0 0;
38 Y-I 0 20+10 0; 39 Y-PQ 0 20+10 0; 41 Y-PQ 0 0 20+10; 42 Y-PQ 20+10 0 0; 43 Y-Z 0 40+20 0;
45 Y-I 20+10 0 0; 46 Y-PQ 20+10 0 0; 47 Y-I 35+25 35+25 35+25; 48 Y-Z 70+50 70+50 70+50;
49 Y-PQ 35+25 70+50 35+20; 50 Y-PQ 0 0 40+20; 51 Y-PQ 20+10 0 0; 52 Y-PQ 40+20 0 0;
53 Y-PQ 40+20 0 0; 55 Y-Z 20+10 0 0; 56 Y-PQ 0 20+10 0; 58 Y-I 0 20+10 0; 59 Y-PQ 0 20+10 0;
60 Y-PQ 20+10 0 0; 62 Y-Z 0 0 40+20; 63 Y-PQ 40+20 0 0; 64 Y-I 0 75+35 0;
65 D-Z 35+25 35+25 70+50; 66 Y-PQ 0 0 75+35; 68 Y-PQ 20+10 0 0; 69 Y-PQ 40+20 0 0;
70 Y-PQ 20+10 0 0; 71 Y-PQ 40+20 0 0; 73 Y-PQ 0 0 40+20; 74 Y-Z 0 0 40+20; 75 Y-PQ 0 0 40+20;
76 D-I 105+80 70+50 70+50; 77 Y-PQ 0 40+20 0; 79 Y-Z 40+20 0 0; 80 Y-PQ 0 40+20 0;
82 Y-PQ 40+20 0 0; 83 Y-PQ 0 0 20+10; 84 Y-PQ 0 0 20+10; 85 Y-PQ 0 0 40+20;
86 Y-PQ 0 20+10 0; 87 Y-PQ 0 40+20 0; 88 Y-PQ 40+20 0 0; 90 Y-I 0 40+20 0; 92 Y-PQ 0 0 40+20;
94 Y-PQ 40+20 0 0; 95 Y-PQ 0 20+10 0; 96 Y-PQ 0 20+10 0; 98 Y-PQ 40+20 0 0;
99 Y-PQ 0 40+20 0; 100 Y-Z 0 0 40+20; 102 Y-PQ 0 0 20+10; 103 Y-PQ 0 0 40+20;
104 Y-PQ 0 0 40+20; 106 Y-PQ 0 40+20 0; 107 Y-PQ 0 40+20 0; 109 Y-PQ 40+20 0 0;
111 Y-PQ 20+10 0 0; 112 Y-I 20+10 0 0; 113 Y-Z 40+20 0 0; 114 Y-PQ 20+10 0 0
""",
    f"""
new circuit.ieee123 bus1=150 basekv=4.16 pu=1 phases=3 r1=1e-6 x1=1e-6 r0=1e-6 x0=1e-6
new transformer.reg1 phases=3 buses=(150 150r) conns=(wye wye) kvs=(4.16 4.16) kvas=(5000 5000) \
xhl=0.001 %loadloss=0.0001 ppm_antifloat=0 taps=(1 1.04375)
new regcontrol.reg1 transformer=reg1 winding=2 vreg=120 band=2 ptratio=20 ctprim=700 r=3 x=7.5 \
tapnum=7
{regulators("reg2 9 9r a 2.402", "-1", "120 2 20 50 0.4 0.4")}
{regulators("reg3 25 25r ac 2.402", "0 -1", "120 1 20 50 0.4 0.4")}
{regulators("reg4 160 160r a 2.402", "8", "124 2 20 300 0.6 1.3")}
{regulators("reg4 160 160r b 2.402", "1", "124 2 20 300 1.4 2.6")}
{regulators("reg4 160 160r c 2.402", "5", "124 2 20 300 0.2 1.4")}
""",
    f"""
{switch("150r", "149", 530)}
{switch("13", "152", 530)}
{switch("18", "135", 530)}
{switch("60", "160", 530)}
{switch("97", "197", 530)}
{switch("54", "94", 230, "a")}
{switch("151", "300", 530)}
open line.sw_54_94 1
open line.sw_151_300 1
new transformer.xfm1 phases=3 buses=(61 610) conns=(delta delta) kvs=(4.16 0.48) kvas=(150 150) \
xhl=2.72 %rs=(0.635 0.635)
new capacitor.c83 bus1=83 phases=3 kv=4.16 kvar=600
new capacitor.c88 bus1=88.1 phases=1 kv=2.402 kvar=50
new capacitor.c90 bus1=90.2 phases=1 kv=2.402 kvar=50
new capacitor.c92 bus1=92.3 phases=1 kv=2.402 kvar=50
""",
    "4.16 0.48",
)

FEEDERS = {"ieee13": IEEE13, "ieee34": IEEE34, "ieee37": IEEE37, "ieee123": IEEE123}

if __name__ == "__main__":
    for title, each in FEEDERS.items():
        (HERE / f"{title}.dss").write_text(circuit(title, each), encoding="utf-8")
