"""Write the networks of the three-level example that ships with the project, from simbench.

Run ``python gateway/data/make_three_level.py`` in an environment with the development tools; only
this script needs simbench.  ``README.md`` beside it names source and licence, and what differs.
"""

from __future__ import annotations

from pathlib import Path

import pandapower as pp
import simbench

from gateway.data.make_data import DECORATION
from security_check.importers import Net

HERE = Path(__file__).parent
TABLES = ["bus", "load", "ext_grid", "line", "trafo"]
OPEN_ENDS = ["bus", "element", "et", "closed"]
# Bus names of the 110 kV network where big customers are: wind farms and works.
SITES = (44, 26, 30, 76, 96, 60)
# Where simbench's high-voltage network has the substations of these two medium-voltage networks.
SUBSTATIONS = {"mv-rural": 28, "mv-commercial": 24}


def compact(given: Net, name: str, loads: dict[int, str]) -> Net:
    """Return a net with the loads named, and without drawings, generation and closed switches.

    ``loads`` names the bus of each; other loads are left out.
    """
    net = pp.create_empty_network(name=name, f_hz=given.f_hz, sn_mva=given.sn_mva)
    for table in TABLES:
        rows = given[table]
        blank = [c for c in rows.columns if c not in net[table].columns and rows[c].isna().all()]
        net[table] = rows.drop(columns=[*blank, *(c for c in DECORATION if c in rows.columns)])
    net.load = net.load.iloc[:0]
    for bus, title in loads.items():
        pp.create_load(net, bus, p_mw=0.0, name=title)
    switch = given.switch[~given.switch.closed & (given.switch.et != "b")]
    for row in switch.itertuples():
        pp.create_switch(net, row.bus, row.element, et=row.et, closed=False)
    joined = given.switch[given.switch.closed & (given.switch.et == "b")]
    for row in joined.itertuples():
        pp.create_switch(net, row.bus, row.element, et="b", closed=True)
    net["std_types"] = {kind: {} for kind in net["std_types"]}
    return net


def high_voltage() -> Net:
    """Return the 110 kV network: one of its three extra-high-voltage grids is the interface.

    The other two, and three wind farms, are generators that hold voltages and share the imbalance.
    """
    given = simbench.get_simbench_net("1-HV-mixed--0-no_sw")
    loads = {bus: name for name, bus in SUBSTATIONS.items()}
    loads |= {bus: f"customer at {given.bus.name.at[bus]}" for bus in SITES}
    grids = given.ext_grid
    given.ext_grid = grids.iloc[:1]
    net = compact(given, "1-HV-mixed--0-no_sw", loads)
    net.ext_grid["vm_pu"] = 1.03
    net.ext_grid["slack_weight"] = 0.4
    for bus, vm_pu, p_mw, most_mw, q_mvar, weight in (
        (4, 1.03, 0.0, 250.0, 250.0, 0.2),
        (0, 1.03, 0.0, 250.0, 250.0, 0.2),
        (52, 1.025, 60.0, 80.0, 56.0, 0.1),
        (66, 1.025, 60.0, 80.0, 56.0, 0.1),
    ):
        pp.create_gen(
            net,
            bus,
            p_mw=p_mw,
            vm_pu=vm_pu,
            min_p_mw=p_mw - most_mw,
            max_p_mw=p_mw + most_mw,
            min_q_mvar=-q_mvar,
            max_q_mvar=q_mvar,
            slack_weight=weight,
            name=f"generation at {given.bus.name.at[bus]}",
        )
    return net


def medium_voltage(code: str, feeders: dict[str, str]) -> Net:
    """Return a medium-voltage network with one large customer in each of its feeders.

    ``feeders`` names, by the feeder, a low-voltage network: it is at the end of that feeder.
    """
    given = simbench.get_simbench_net(code)
    loads = {}
    of = given.bus.subnet.str.extract(r"_(Feeder\d+)$")[0]
    for feeder in sorted(of.dropna().unique()):
        buses = given.bus.index[of == feeder]
        loads[int(buses[2 * len(buses) // 3])] = f"customer in {feeder}"
        if feeder in feeders:
            loads[int(buses[-1])] = feeders[feeder]
    return compact(given, code, loads)


def low_voltage(code: str) -> Net:
    """Return a low-voltage network with all its loads."""
    given = simbench.get_simbench_net(code)
    net = compact(given, code, {})
    for row in given.load.itertuples():
        pp.create_load(net, row.bus, p_mw=0.0, name=row.name)
    return net


def main() -> None:
    """Write all networks."""
    nets = {
        "hv-mixed": high_voltage(),
        "mv-rural": medium_voltage(
            "1-MV-rural--0-sw", {"Feeder1": "a", "Feeder5": "b", "Feeder6": "c"}
        ),
        "mv-commercial": medium_voltage(
            "1-MV-comm--0-sw", {"Feeder1": "d", "Feeder7": "e", "Feeder8": "f"}
        ),
    }
    for code in ("rural1", "rural2", "urban6", "semiurb5"):
        nets[f"lv-{code}"] = low_voltage(f"1-LV-{code}--0-sw")
    for name, net in nets.items():
        pp.to_json(net, str(HERE / f"{name}.json"), indent=None)


if __name__ == "__main__":
    main()
