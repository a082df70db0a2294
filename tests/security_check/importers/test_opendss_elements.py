"""What an OpenDSS circuit may contain: modelled, monitored, stated, or refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import opendssdirect as dss
import pytest
from opendss_oracle import circuit_voltages, solve_circuit

from security_check.errors import NetworkFaults
from security_check.importers.opendss import network_from_opendss
from security_check.importers.opendss_circuit.elements import enabled_elements, unsupported_faults
from security_check.model.network import Network
from security_check.power_flow.implicit_zbus import PowerFlow

CIRCUIT = """clear
new circuit.c bus1=src basekv=12.47 pu=1 phases=3 mvasc3=500 mvasc1=400
new line.a bus1=src bus2=b1 r1=0.3 x1=0.4 c1=9 c0=5 length=1 normamps=100
new line.b bus1=b1 bus2=b2 r1=0.3 x1=0.4 c1=9 c0=5 length=1 normamps=100
new load.l bus1=b2 kv=12.47 kw=100 pf=1
{more}
set voltagebases=[12.47 7.2 2.4 0.4]
calcvoltagebases
"""
REGULATOR = """new transformer.reg phases=3 buses=(b2 b3) kvs=(12.47 12.47) kvas=(5000 5000) xhl=1
new regcontrol.ctl transformer=reg winding=2 vreg=120 ptratio=60 band=2
"""
CAPACITOR = """new capacitor.cap bus1=b2 phases=3 kv=12.47 kvar=[300 300] numsteps=2 states=[1 0]
new capcontrol.switch capacitor=cap element=line.b terminal=1 type=voltage ptratio=60 onsetting=1
"""


def written(folder: Path, more: str = "") -> Path:
    master = folder / "c.dss"
    master.write_text(CIRCUIT.format(more=more))
    return master


def read(folder: Path, more: str = "", **how: Any) -> Network:
    return network_from_opendss(written(folder, more), **how)


def faults(folder: Path, more: str = "", **how: Any) -> dict[str, str]:
    with pytest.raises(NetworkFaults) as caught:
        read(folder, more, **how)
    return {fault.element: fault.detail for fault in caught.value.faults}


def ratings_a(network: Network, element: str) -> dict[str, float]:
    """Return the rating of each end of an element, A."""
    terminals = network.terminals
    rated = terminals.rating_pu * terminals.base_current_a
    return {
        side: float(rated[k])
        for k, (name, side) in enumerate(zip(terminals.elements, terminals.sides, strict=True))
        if name.rsplit(".", 1)[0] == element
    }


def assert_voltages(master: Path, network: Network, *commands: str) -> None:
    """Compare with OpenDSS after further commands."""
    power_w = np.full(len(network.connection_points), -200e3)
    flow = PowerFlow(network)
    ports = network.point_ports @ (power_w / network.base_power_w)[:, None]
    ours = flow.node_voltages(flow.solve(ports, np.ones((network.held, 1))))[:, 0]
    solve_circuit(master, network, power_w, *commands)
    for node, value in circuit_voltages().items():
        assert abs(ours[network.nodes.index(node)] - value) < 1e-7, node


class TestControls:
    def test_every_control_is_named_where_nothing_is_stated(self, tmp_path: Path) -> None:
        found = faults(tmp_path, REGULATOR + CAPACITOR)
        assert set(found) == {"regcontrol:ctl", "capcontrol:switch"}
        assert "trafo:reg" in found["regcontrol:ctl"]
        assert "-16 to 16" in found["regcontrol:ctl"]
        assert "capacitor:cap" in found["capcontrol:switch"]
        assert set(faults(tmp_path, REGULATOR + CAPACITOR, taps="neutral")) == {"capcontrol:switch"}

    @pytest.mark.parametrize("control", ["regcontrol.ctl", "capcontrol.switch"])
    def test_controls_out_of_service_need_no_statement(self, tmp_path: Path, control: str) -> None:
        more = REGULATOR + CAPACITOR + "disable regcontrol.ctl\ndisable capcontrol.switch\n"
        assert read(tmp_path, more)
        kind = control.partition(".")[0]
        found = faults(tmp_path, more + f"enable {control}\n")
        assert [element.partition(":")[0] for element in found] == [kind]

    @pytest.mark.parametrize("name", ["ctl", "reg", "reg.2", "REG"])
    def test_a_position_is_that_of_opendss(self, tmp_path: Path, name: str) -> None:
        network = read(tmp_path, REGULATOR, taps={name: -7})
        assert_voltages(written(tmp_path, REGULATOR), network, "regcontrol.ctl.tapnum=-7")

    def test_as_given_is_where_the_file_leaves_it(self, tmp_path: Path) -> None:
        more = REGULATOR + "regcontrol.ctl.tapnum=5\n"
        network = read(tmp_path, more, taps="as-given")
        assert_voltages(written(tmp_path, REGULATOR), network, "transformer.reg.taps=[1 1.03125]")
        network = read(tmp_path, more, taps="neutral")
        assert_voltages(written(tmp_path, REGULATOR), network, "transformer.reg.taps=[1 1]")

    def test_a_tap_changer_without_control_is_named_by_its_winding(self, tmp_path: Path) -> None:
        more = "new transformer.t phases=3 buses=(b2 low) kvs=(12.47 0.4) kvas=(900 900) xhl=4\n"
        more += "new load.low bus1=low phases=3 kv=0.4 kw=1 pf=1\n"
        network = read(tmp_path, more, taps={"t.1": 4})
        assert_voltages(written(tmp_path, more), network, "transformer.t.taps=[1.025 1]")

    def test_an_autotransformer_is_regulated(self, tmp_path: Path) -> None:
        more = "new autotrans.at buses=(b2 low) kvs=(12.47 7.2) kvas=(3000 3000) xhx=4\n"
        more += "new regcontrol.ctl transformer=at winding=2 vreg=120 ptratio=35 band=2\n"
        network = read(tmp_path, more, taps={"at": 9})
        assert_voltages(written(tmp_path, more), network, "autotrans.at.taps=[1 1.05625]")

    @pytest.mark.parametrize(
        ("taps", "element", "part"),
        [
            ({}, "regcontrol:ctl", "no position"),
            ({"reg": 17}, "taps.reg", "-16 to 16"),
            ({"reg": 0.5}, "taps.reg", "whole number"),
            ({"reg": True}, "taps.reg", "whole number"),
            ({"reg": 1, "ctl": 1}, "taps.ctl", "named twice"),
            ({"reg": 1, "nothing": 1}, "taps.nothing", "regulators are ctl"),
            ({"reg": 1, "reg.3": 1}, "taps.reg.3", "no such regulator"),
            ("upward", "taps", "upward"),
        ],
    )
    def test_wrong_positions(self, tmp_path: Path, taps: Any, element: str, part: str) -> None:
        found = faults(tmp_path, REGULATOR, taps=taps)
        assert list(found) == [element]
        assert part in found[element]

    def test_a_range_without_the_rated_ratio_has_no_neutral(self, tmp_path: Path) -> None:
        more = REGULATOR + "transformer.reg.wdg=2\ntransformer.reg.mintap=1.02\n"
        more += "transformer.reg.maxtap=1.1\ntransformer.reg.tap=1.06\n"
        assert "no neutral position" in faults(tmp_path, more, taps="neutral")["regcontrol:ctl"]

    @pytest.mark.parametrize(
        ("stated", "states"),
        [("as-given", "[1 0]"), ({"cap": 2}, "[1 1]"), ({"switch": [0, 1]}, "[0 1]"),
         ({"CAP": 0}, "[0 0]")],
    )  # fmt: skip
    def test_capacitors(self, tmp_path: Path, stated: Any, states: str) -> None:
        network = read(tmp_path, CAPACITOR, capacitors=stated)
        assert_voltages(written(tmp_path, CAPACITOR), network, f"capacitor.cap.states={states}")

    @pytest.mark.parametrize(
        ("stated", "element"),
        [({}, "capcontrol:switch"), ({"cap": 3}, "capacitors.cap"), ({"cap": 1, "other": 1},
         "capacitors.other"), ({"cap": [1]}, "capacitors.cap"), ({"cap": [1, 2]}, "capacitors.cap"),
         ({"cap": 1, "switch": 1}, "capacitors.switch"), ("neutral", "capacitors")],
    )  # fmt: skip
    def test_wrong_capacitors(self, tmp_path: Path, stated: Any, element: str) -> None:
        assert list(faults(tmp_path, CAPACITOR, capacitors=stated)) == [element]


class TestClasses:
    @pytest.mark.parametrize(
        ("text", "element"),
        [
            ("new fault.f bus1=b2 r=50", "fault:f"),
            ("new gicline.g bus1=b1 bus2=b2 r=1", "gicline:g"),
            ("new vccs.v bus1=b2 phases=1", "vccs:v"),
            ("new upfc.u bus1=b1.1 bus2=b2.1 phases=1", "upfc:u"),
            ("new isource.i bus1=b2 amps=3", "isource:i"),
        ],
    )
    def test_a_class_without_a_role_is_refused_by_name(
        self, tmp_path: Path, text: str, element: str
    ) -> None:
        found = faults(tmp_path, text)
        assert "not supported" in found[element]
        assert not faults_of_disabled(tmp_path, text)

    def test_the_walk_is_over_all_enabled_elements(self, tmp_path: Path) -> None:
        more = (
            REGULATOR
            + CAPACITOR
            + """new generator.g bus1=b1 kv=12.47 kw=9
new pvsystem.p bus1=b2 kv=12.47
new storage.s bus1=b2 kv=12.47
new fuse.f monitoredobj=line.a
new monitor.m element=line.a
new fault.f bus1=b1 r=90
"""
        )
        dss.Text.Command(f'compile "{written(tmp_path, more)}"')
        made = {str(name).lower() for name in dss.Circuit.AllElementNames()}
        assert len(made) == 14
        assert set(enabled_elements(dss)) == made
        dss.Text.Command("disable generator.g")
        assert set(enabled_elements(dss)) == made - {"generator.g"}
        assert [fault.element for fault in unsupported_faults(dss)] == ["fault:f"]

    def test_generation_is_idle_with_its_controls(self, tmp_path: Path) -> None:
        more = """new generator.g bus1=b1 kv=12.47 kw=900 model=3
new pvsystem.p bus1=b2 kv=12.47 kva=500 pmpp=500
new storage.s bus1=b2 kv=12.47 kwrated=100
new invcontrol.i mode=voltwatt
new monitor.m element=line.a
new energymeter.e element=line.a
"""
        with_them, without = read(tmp_path, more), read(tmp_path)
        assert with_them.nodes == without.nodes
        apart = abs(with_them.admittance - without.admittance).max()
        assert apart < 1e-9 * abs(without.admittance).max()

    def test_a_load_with_its_own_earth(self, tmp_path: Path) -> None:
        more = "new line.n bus1=src.1.0 bus2=b4.1.4 phases=2 length=1 r1=1 x1=1 normamps=90\n"
        more += "new load.e bus1=b4.1.4 phases=1 kv=7.2 kw=1 pf=1 rneut={}\n"
        assert "rneut" in faults(tmp_path, more.format(5))["load:e"]
        assert read(tmp_path, more.format(-1))


def faults_of_disabled(folder: Path, text: str) -> list[Any]:
    """Return the faults of an element's class when the element is out of service."""
    dss.Text.Command(f'compile "{written(folder, text)}"')
    dss.Text.Command(f"disable {text.split()[1]}")
    return unsupported_faults(dss)

    def test_nodes_above_three_are_no_phases(self, tmp_path: Path) -> None:
        """Their voltages have no limits, so that no customer may depend on them."""
        more = (
            "new line.six bus1=src.1.2.3 bus2=six.4.5.6 phases=3 length=1 r1=1 x1=1 normamps=90\n"
        )
        more += "new line.n bus1=src.1.0 bus2=n.1.4 phases=2 length=1 r1=1 x1=1 normamps=90\n"
        more += "new load.six bus1=six.5 phases=1 kv=7.2 kw=1\n"
        more += "new load.pair bus1=six.5.6 phases=1 conn=delta kv=12.47 kw=1\n"
        more += "new load.neutral bus1=n.4 phases=1 kv=7.2 kw=1\n"
        more += "new load.phase bus1=n.1.4 phases=1 kv=7.2 kw=1\n"
        more += "new load.ring bus1=n.4.1 phases=1 conn=delta kv=7.2 kw=1\n"
        found = faults(tmp_path, more)
        assert set(found) == {"load:six", "load:pair", "load:neutral"}
        assert all("nodes 1 to 3" in detail for detail in found.values())


class TestRatings:
    def test_normhkva_scales_all_windings(self, tmp_path: Path) -> None:
        trafo = "new transformer.t windings=3 buses=(b2 x y) conns=(wye wye delta) "
        trafo += "kvs=(12.47 0.4 0.4) kvas=(60 40 20) xhl=4 xht=4 xlt=4 normhkva=45\n"
        rated = ratings_a(read(tmp_path, trafo), "trafo:t")
        root3 = 3**0.5
        expected = {"1": 45 / 12.47 / root3, "2": 30 / 0.4 / root3, "3": 15 / 0.4 / root3}
        assert rated == pytest.approx(expected)
        dss.Text.Command(f'compile "{written(tmp_path, trafo)}"')
        dss.Circuit.SetActiveElement("transformer.t")
        assert dss.CktElement.NormalAmps() == pytest.approx(rated["1"])

    @pytest.mark.parametrize(
        ("more", "kva"),
        [
            ("kvas=(60 60)", 60),  # OpenDSS's default is 66
            ("kvas=(60 60) normhkva=66", 66),
            ("normhkva=45 kvas=(60 60)", 60),  # what comes after resets it
            ("kvas=(60 60) normhkva=75", 75),
            ("xfmrcode=code", 48),
        ],
    )
    def test_normhkva_where_it_is_given(self, tmp_path: Path, more: str, kva: float) -> None:
        code = "new xfmrcode.code kvs=(12.47 0.4) kvas=(60 60) normhkva=48\n"
        trafo = f"new transformer.t buses=(b2 x) kvs=(12.47 0.4) {more}\n"
        rated = ratings_a(read(tmp_path, code + trafo), "trafo:t")
        assert rated["1"] == pytest.approx(kva / 12.47 / 3**0.5)
        assert rated["2"] == pytest.approx(kva / 0.4 / 3**0.5)

    def test_an_autotransformer_is_rated_by_the_power_through_it(self, tmp_path: Path) -> None:
        auto = "new autotrans.at windings=3 buses=(b2 x y) conns=(series wye delta) "
        auto += "kvs=(12.47 7.2 2.4) kvas=(3000 3000 500) normhkva=2400\n"
        rated = ratings_a(read(tmp_path, auto), "autotrans:at")
        root3 = 3**0.5
        assert rated == pytest.approx(
            {"1": 2400 / 12.47 / root3, "2": 2400 / 7.2 / root3, "3": 400 / 2.4 / root3}
        )

    UNRATED = """new linecode.bare nphases=3 r1=0.1 x1=0.1
new line.bare bus1=b2 bus2=x1 linecode=bare
new line.plain bus1=b2 bus2=x2 r1=0.1 x1=0.1
new line.copy like=bare bus1=b2 bus2=x3
new line.switch bus1=b2 bus2=x4 switch=y
new wiredata.w runits=km rac=0.3 gmrunits=m gmrac=0.01 radunits=m diam=0.02
new linegeometry.g nconds=3 nphases=3 cond=1 wire=w x=0 h=9 units=m cond=2 wire=w x=1 h=9 units=m \
cond=3 wire=w x=2 h=9 units=m
new line.wires bus1=b2 bus2=x5 geometry=g length=1 units=km
new reactor.x bus1=b2 bus2=x6 phases=3 r=0.1 x=1
new reactor.size bus1=b2 bus2=x7 phases=3 kv=12.47 kvar=90000
new capacitor.s bus1=b2 bus2=x8 phases=3 kv=12.47 cuf=900
"""
    RATED = """new linecode.code nphases=3 r1=0.1 x1=0.1 normamps=400
new line.code bus1=b2 bus2=y1 linecode=code
new line.own bus1=b2 bus2=y2 r1=0.1 x1=0.1 normamps=400
new line.other bus1=b2 bus2=y3 linecode=code normamps=90
new reactor.y bus1=b2 bus2=y4 phases=3 r=0.1 x=1 normamps=70
new reactor.shunt bus1=b2 phases=3 kv=12.47 kvar=100
new reactor.ring bus1=b2 phases=3 conn=delta kv=12.47 kvar=100
"""
    OPEN = ("line:bare", "line:plain", "line:copy", "line:switch", "line:wires", "reactor:x",
            "reactor:size", "capacitor:s")  # fmt: skip

    def test_a_default_of_opendss_is_no_rating(self, tmp_path: Path) -> None:
        found = faults(tmp_path, self.UNRATED + self.RATED)
        assert set(found) == set(self.OPEN)
        assert all("default_rating_a" in detail for detail in found.values())

    def test_a_stated_rating_is_that_of_elements_without_one(self, tmp_path: Path) -> None:
        network = read(tmp_path, self.UNRATED + self.RATED, default_rating_a=123.0)
        for element in self.OPEN:
            assert ratings_a(network, element) == pytest.approx({"1": 123.0, "2": 123.0})
        given = {"line:code": 400.0, "line:own": 400.0, "line:other": 90.0, "reactor:y": 70.0}
        for element, amps in given.items():
            assert ratings_a(network, element) == pytest.approx({"1": amps, "2": amps})
        assert not ratings_a(network, "reactor:shunt")
        assert not ratings_a(network, "reactor:ring")


class TestOpen:
    @pytest.mark.parametrize(
        ("text", "lost", "by"),
        [
            ("new fuse.f monitoredobj=line.b state=open", ["b2.1"], "line:b by fuse:f"),
            ("new fuse.f monitoredobj=line.b state=(closed open open)", ["b2.2", "b2.3"], "fuse:f"),
            ("new swtcontrol.s switchedobj=line.b switchedterm=1 state=open", None, "swtcontrol:s"),
            ("new swtcontrol.s switchedobj=line.b switchedterm=2 normal=open", None, "line:b"),
            (
                "new recloser.r monitoredobj=line.a switchedobj=line.b state=open",
                None,
                "recloser:r",
            ),
            ("new relay.r monitoredobj=line.b monitoredterm=1 state=open", None, "relay:r"),
            ("open line.b 2", None, "line:b"),
            ("open line.b 1 3", ["b2.3"], "line:b"),
        ],
    )
    def test_what_an_open_switch_leaves_is_not_supplied(
        self, tmp_path: Path, text: str, lost: list[str] | None, by: str
    ) -> None:
        found = faults(tmp_path, text)
        lost = lost or ["b2.1", "b2.2", "b2.3"]
        assert set(found) == {"load:l", *(f"bus:{node}" for node in lost)}
        for detail in found.values():
            assert "not supplied" in detail
            assert by in detail

    def test_closed_devices_change_nothing(self, tmp_path: Path) -> None:
        more = (
            "new fuse.f monitoredobj=line.b\nnew swtcontrol.s switchedobj=line.a switchedterm=1\n"
        )
        more += "new recloser.r monitoredobj=line.b\nnew relay.y monitoredobj=line.b type=voltage\n"
        assert abs(read(tmp_path, more).admittance - read(tmp_path).admittance).max() == 0.0

    def test_a_dead_phase_is_dead_behind_a_transformer(self, tmp_path: Path) -> None:
        more = "new transformer.t buses=(b2 x) conns=(delta wye) kvs=(12.47 0.4) kvas=(500 500)\n"
        found = faults(tmp_path, more + "open line.b 1 1\n")
        assert set(found) == {"load:l", "bus:b2.1", "bus:x.1", "bus:x.2", "bus:x.3"}

    def test_a_transformer_with_some_phases_open(self, tmp_path: Path) -> None:
        more = "new transformer.t buses=(b2 x) kvs=(12.47 0.4) kvas=(500 500)\n"
        more += "open transformer.t 1 2\n"
        assert "only 1 of its 3 phases" in faults(tmp_path, more)["trafo:t"]

    def test_an_open_tie_between_supplied_buses(self, tmp_path: Path) -> None:
        more = "new line.tie bus1=b2 bus2=src r1=0.1 x1=0.1 c1=9 c0=5 length=1 normamps=50\n"
        more += "open line.tie 2\n"
        network = read(tmp_path, more)
        assert_voltages(written(tmp_path, more), network)


PHASES = ((1, 0.0), (2, -120.0), (3, 120.0))


def single_sources(*phases: tuple[int, float], more: str = "", kv: float = 7.2) -> str:
    """Return a circuit that is fed by a source for each phase."""
    text = []
    for k, (node, angle) in enumerate(phases):
        kind = "circuit.c" if k == 0 else f"vsource.s{k}"
        text.append(
            f"new {kind} bus1=src.{node} phases=1 basekv={kv} pu=1 angle={angle} r1=0.1 x1=0.3 "
            "r0=0.1 x0=0.3"
        )
    first, *_ = CIRCUIT.split("new line.a")
    body = CIRCUIT.removeprefix(first).format(more=more)
    return "\n".join(["clear", *text, body])


class TestSources:
    def test_three_single_phases_are_one_interface(self, tmp_path: Path) -> None:
        master = tmp_path / "three.dss"
        master.write_text(single_sources(*PHASES[1:], PHASES[0]))
        network = network_from_opendss(master)
        assert network.held == 3
        turned = np.angle(np.diag(network.interface.phasors), deg=True)
        assert turned.tolist() == pytest.approx([0.0, -120.0, 120.0])
        assert_voltages(master, network)

    @pytest.mark.parametrize(
        ("text", "element"),
        [
            (single_sources(PHASES[0], (2, 120.0), (3, -120.0)), "vsource:s1"),
            (single_sources(*PHASES, more="vsource.s2.pu=1.01"), "vsource:s2"),
            (single_sources(*PHASES, more="vsource.s2.basekv=7"), "vsource:s2"),
            (single_sources(*PHASES, (2, -120.0)), "vsource:s3"),
            (single_sources(*PHASES, more="vsource.s2.bus1=b1.3"), "interface"),
            (single_sources(*PHASES, more="vsource.s2.bus2=b1.3"), "vsource:s2"),
        ],
    )
    def test_what_is_not_one_interface_is_named(
        self, tmp_path: Path, text: str, element: str
    ) -> None:
        master = tmp_path / "wrong.dss"
        master.write_text(text)
        with pytest.raises(NetworkFaults) as caught:
            network_from_opendss(master)
        assert element in {fault.element for fault in caught.value.faults}
