"""What is wrong with networks of phases, from pandapower and from OpenDSS: all of it, by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandapower as pp
import pandapower.toolbox
import pytest
from others_warnings import others_warnings_ignored
from phase_networks import measured, phase_net, run_circuit, run_phases

from security_check.errors import NetworkFaults
from security_check.importers.opendss import network_from_opendss
from security_check.importers.pandapower_phases import phases_from_pandapower
from security_check.model.network import Network
from security_check.power_flow.implicit_zbus import PowerFlow


def named(caught) -> dict[str, list[str]]:
    """Return the details by element; each a sentence that is part of the message."""
    found: dict[str, list[str]] = {}
    for fault in caught.value.faults:
        assert fault.detail
        assert str(fault) in str(caught.value)
        found.setdefault(fault.element, []).append(fault.detail)
    return found


def faults_of(net, **how) -> dict[str, list[str]]:
    with pytest.raises(NetworkFaults) as caught:
        phases_from_pandapower(net, **how)
    return named(caught)


class TestPandapower:
    @pytest.mark.parametrize(("table", "column"), [("line", "max_i_ka"), ("trafo", "sn_mva")])
    @pytest.mark.parametrize("value", [0.0, -1.0, np.nan, 99_999.0])
    def test_ratings(self, table, column, value):
        net = phase_net(3)
        net[table].loc[0, column] = value
        (detail,) = faults_of(net)[f"{table}:0"]
        assert column in detail
        assert f"{value:g}" in detail

    @pytest.mark.parametrize(
        ("table", "column"),
        [
            ("line", "r0_ohm_per_km"),
            ("line", "x0_ohm_per_km"),
            ("line", "c0_nf_per_km"),
            ("trafo", "vk0_percent"),
            ("trafo", "vkr0_percent"),
            ("trafo", "mag0_percent"),
            ("trafo", "mag0_rx"),
            ("trafo", "si0_hv_partial"),
            ("trafo", "vector_group"),
            ("ext_grid", "s_sc_max_mva"),
            ("ext_grid", "rx_max"),
            ("ext_grid", "x0x_max"),
            ("ext_grid", "r0x0_max"),
        ],
    )
    def test_data_of_the_zero_sequence(self, table, column):
        net = phase_net(3)
        net[table].loc[0, column] = None if column == "vector_group" else np.nan
        (detail,) = faults_of(net)[f"{table}:0"]
        assert column in detail
        net[table] = net[table].drop(columns=column)
        found = faults_of(net)
        assert set(found) == {f"{table}:{i}" for i in net[table].index}
        assert all(column in detail for (detail,) in found.values())

    @pytest.mark.parametrize("bus", [0, 1])
    def test_an_isolated_bus(self, bus):
        net = phase_net(3)
        alone = pp.create_bus(net, 0.4, in_service=bool(bus))
        pp.create_asymmetric_load(net, alone, p_a_mw=0.001, index=9)
        (detail,) = faults_of(net)["asymmetric_load:9"]
        assert f"bus {alone}" in detail

    def test_customers_on_no_phase_or_in_delta(self):
        net = phase_net(4)
        net.asymmetric_load.loc[0, ["p_a_mw", "p_b_mw", "p_c_mw"]] = 0.0
        net.asymmetric_load.loc[1, "p_a_mw"] = np.nan
        net.asymmetric_load.loc[2, "type"] = "delta"
        found = faults_of(net)
        assert set(found) == {f"asymmetric_load:{i}" for i in range(3)}
        assert "delta" in found["asymmetric_load:2"][0]

    def test_customers_where_the_source_holds_no_phase(self):
        net = phase_net(3)
        beside = pp.create_bus(net, 20.0)
        pp.create_switch(net, 0, beside, et="b")
        pp.create_asymmetric_load(net, 0, p_a_mw=0.001, index=7)
        pp.create_asymmetric_load(net, beside, p_a_mw=0.001, index=8)
        found = faults_of(net)
        assert set(found) == {"asymmetric_load:7", "asymmetric_load:8"}
        phases_from_pandapower(net, held="phases")

    def test_sources(self):
        net = phase_net(3)
        pp.create_ext_grid(net, 2, s_sc_max_mva=1.0, rx_max=0.1, r0x0_max=0.1, x0x_max=1.0)
        (detail,) = faults_of(net)["interface"]
        assert "ext_grid:0, ext_grid:1" in detail
        net.ext_grid["in_service"] = False
        assert "none" in faults_of(net)["interface"][0]

    def test_elements_that_have_no_phases(self):
        net = phase_net(3)
        pp.create_shunt(net, 2, q_mvar=0.001, index=4)
        pp.create_impedance(net, 2, 3, rft_pu=0.1, xft_pu=0.1, sn_mva=0.1, index=5)
        assert set(faults_of(net)) == {"shunt:4", "impedance:5"}

    def test_a_base_voltage_missing(self):
        net = phase_net(3)
        net.bus.loc[2, "vn_kv"] = np.nan
        assert "vn_kv" in faults_of(net)["bus:2"][0]

    def test_all_at_once(self):
        net = phase_net(4)
        net.line.loc[0, "max_i_ka"] = 0.0
        net.line.loc[1, "r0_ohm_per_km"] = np.nan
        net.line.loc[2, "to_bus"] = 777
        net.trafo.loc[0, "vector_group"] = "YNd"
        net.ext_grid.loc[0, "rx_max"] = np.nan
        net.asymmetric_load.loc[0, "type"] = "delta"
        net.asymmetric_load.loc[1, "bus"] = 888
        found = faults_of(net, power_factor={"asymmetric_load:2": 3.0})
        assert set(found) == {
            "line:0", "line:1", "line:2", "trafo:0", "ext_grid:0", "asymmetric_load:0",
            "asymmetric_load:1", "asymmetric_load:2",
        }  # fmt: skip

    def test_separate_parts_may_have_a_source_each(self):
        with others_warnings_ignored():
            net = pandapower.toolbox.merge_nets(
                phase_net(3, 1), phase_net(2, 2), validate=False, merge_results=False
            )
        network = phases_from_pandapower(net)
        assert len(network.interface.nodes) == 2
        power_w = np.random.default_rng(2).uniform(-6e3, 6e3, 5)
        flow = PowerFlow(network)
        power = power_w[:, None] / network.base_power_w
        ours = measured(flow, power, np.array([[1.01]]))["voltage"][:, 0]
        run_phases(net, network, power_w, 1.01)
        for name, value in zip(network.voltages.elements, ours, strict=True):
            bus, phase = name.removeprefix("bus:").split(".")
            theirs = net.res_bus_3ph.at[int(bus), f"vm_{phase}_pu"]
            assert value == pytest.approx(theirs, abs=1e-6)


CIRCUIT = """clear
new circuit.c basekv=0.4 pu=1 phases=3 bus1=src mvasc3=10 mvasc1=10
new line.main bus1=src bus2=b1 phases=3 r1=0.3 x1=0.1 r0=1 x0=0.3 length=0.1 units=km normamps=99
new line.spur bus1=b1.1 bus2=b2.1 phases=1 r1=0.3 x1=0.1 r0=1 x0=0.3 length=0.1 units=km \
normamps=99
new load.ok phases=1 bus1=b2.1 kv=0.23 kw=1 pf=1 vminpu=0.3 vmaxpu=1.9
{more}
set voltagebases=[0.4]
calcvoltagebases
"""


def circuit(folder: Path, *more: str, text: str = CIRCUIT) -> Path:
    master = folder / "c.dss"
    master.write_text(text.format(more="\n".join(more)))
    return master


def circuit_faults(folder: Path, *more: str, text: str = CIRCUIT, **how) -> dict[str, list[str]]:
    with pytest.raises(NetworkFaults) as caught:
        network_from_opendss(circuit(folder, *more, text=text), **how)
    return named(caught)


def load(name: str, bus: str, more: str = "phases=1 kv=0.23") -> str:
    return f"new load.{name} bus1={bus} {more} kw=1 pf=1 vminpu=0.3 vmaxpu=1.9"


class TestOpenDSS:
    def test_the_circuit_without_faults(self, tmp_path):
        assert network_from_opendss(circuit(tmp_path)).connection_points == ("load:ok",)

    def test_a_load_on_a_phase_its_line_lacks(self, tmp_path):
        found = circuit_faults(
            tmp_path, load("wrong", "b2.2"), load("far", "b2.1.3", "phases=1 kv=0.4 conn=delta")
        )
        assert set(found) == {"load:wrong", "load:far"}
        assert "node 2" in found["load:wrong"][0]
        assert "b2" in found["load:wrong"][0]
        assert "node 3" in found["load:far"][0]

    def test_a_phase_that_only_a_line_from_nowhere_has(self, tmp_path):
        line = "new line.on bus1=b2.2 bus2=b3.2 phases=1 r1=0.3 x1=0.1 length=0.1 normamps=99"
        found = circuit_faults(tmp_path, line, load("wrong", "b3.2"))
        assert set(found) == {"load:wrong", "bus:b2.2", "bus:b3.2"}

    def test_an_isolated_bus(self, tmp_path):
        line = "new line.x bus1=i1 bus2=i2 phases=3 length=0.1 normamps=99"
        found = circuit_faults(tmp_path, line, load("lost", "i2.1"), load("alone", "nowhere.1"))
        assert "i2" in found["load:lost"][0]
        assert "nowhere" in found["load:alone"][0]
        assert set(found) == {
            "load:lost", "load:alone", *(f"bus:i{k}.{n}" for k in (1, 2) for n in (1, 2, 3)),
        }  # fmt: skip

    def test_a_bus_behind_an_open_line(self, tmp_path):
        line = "new line.x bus1=b1 bus2=i2 phases=3 length=0.1 normamps=99"
        found = circuit_faults(tmp_path, line, load("lost", "i2.1"), "open line.x 1")
        assert "i2" in found["load:lost"][0]

    @pytest.mark.parametrize("value", ["0", "-5", "99999"])
    def test_ratings(self, tmp_path, value):
        more = f"new line.r bus1=b1 bus2=b5 phases=3 length=0.1 normamps={value}"
        (detail,) = circuit_faults(tmp_path, more)["line:r"]
        assert f"{float(value):g} A" in detail

    @pytest.mark.parametrize("value", ["0", "-5", "1e9"])
    def test_ratings_of_transformers(self, tmp_path, value):
        more = (
            "new transformer.t phases=3 windings=2 buses=(b1 b7) conns=(wye wye) kvs=(0.4 0.4) "
            f"kvas=({value} {value})"
        )
        assert "its rating is" in circuit_faults(tmp_path, more)["trafo:t"][0]

    def test_lines_out_of_service_do_not_matter(self, tmp_path):
        more = "new line.r bus1=b1 bus2=b5 phases=3 length=0.1 normamps=0 enabled=no"
        network = network_from_opendss(circuit(tmp_path, more))
        assert not any(element.startswith("line:r") for element in network.terminals.elements)

    def test_base_voltages_missing(self, tmp_path):
        text = CIRCUIT.replace("set voltagebases=[0.4]\ncalcvoltagebases\n", "")
        found = circuit_faults(tmp_path, text=text)
        assert set(found) == {"bus:src", "bus:b1", "bus:b2"}

    def test_sources(self, tmp_path):
        more = ("new vsource.two bus1=b1 basekv=0.4 phases=3", "new isource.q bus1=b1 amps=3")
        found = circuit_faults(tmp_path, *more)
        assert set(found) == {"interface", "isource:q"}
        assert "vsource:source, vsource:two" in found["interface"][0]

    def test_a_source_that_turns_backwards(self, tmp_path):
        assert (
            "sequence"
            in circuit_faults(tmp_path, "vsource.source.sequence=neg")["vsource:source"][0]
        )

    def test_a_load_between_a_node_and_itself(self, tmp_path):
        (fault,) = circuit_faults(tmp_path, load("short", "b1.2.2"))["load:short"]
        assert "both its ends are at one node" in fault

    def test_an_impedance_of_zero(self, tmp_path):
        more = "new line.z bus1=b1 bus2=b9 phases=3 r1=0 x1=0 r0=0 x0=0 c1=0 c0=0 normamps=99"
        ((element, (detail,)),) = circuit_faults(tmp_path, more).items()
        assert element == "c.dss"
        assert '"z"' in detail

    def test_no_load_connected(self, tmp_path):
        assert set(circuit_faults(tmp_path, "disable load.ok")) == {"load"}

    def test_all_at_once(self, tmp_path):
        found = circuit_faults(
            tmp_path,
            load("wrong", "b2.2"),
            load("alone", "nowhere.1"),
            "new line.r bus1=b1 bus2=b5 phases=3 length=0.1 normamps=0",
            "new vsource.two bus1=b1 basekv=0.4 phases=3",
            power_factor={"load:ok": 2.0},
        )
        assert set(found) == {"load:wrong", "load:alone", "line:r", "interface", "load:ok"}

    def test_loads_of_every_connection_are_where_opendss_has_them(self, tmp_path):
        master = circuit(
            tmp_path,
            load("first", "b1", "phases=1 kv=0.23"),
            load("all", "b1", "phases=3 kv=0.4"),
            load("across", "b1.2.3", "phases=1 kv=0.4 conn=delta"),
            load("ring", "b1", "phases=3 kv=0.4 conn=delta"),
            load("open", "b1", "phases=2 kv=0.4 conn=delta"),
        )
        network = network_from_opendss(master, power_factor=0.95)
        assert_equal_to_opendss(master, network, np.array([-2e3, 3e3, -4e3, 5e3, -3e3, 2e3]))


def assert_equal_to_opendss(master: Path, network: Network, power_w: np.ndarray) -> None:
    import opendssdirect as dss

    flow = PowerFlow(network)
    power = power_w[:, None] / network.base_power_w
    ours = measured(flow, power, np.ones((3, 1)))["voltage"][:, 0]
    run_circuit(master, network, power_w)
    names = [f"bus:{name.lower()}" for name in dss.Circuit.AllNodeNames()]
    theirs = dict(zip(names, dss.Circuit.AllBusMagPu(), strict=True))
    for name, value in zip(network.voltages.elements, ours, strict=True):
        assert value == pytest.approx(theirs[name], abs=1e-8), name
