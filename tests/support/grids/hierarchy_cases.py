"""A hierarchy of three levels that is so small that all its corners can be tried."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandapower as pp

Net = Any

FILE = """
[contract]
operator = "top"
voltage_min_pu = 1.0
voltage_max_pu = 1.03

[operators.top]
network = { source = "top.json", model = "meshed", distributed_slack = true, outages = ["line:0"] }
limits = { voltage_min_pu = 0.93, voltage_max_pu = 1.10 }
capacity = { injection_w = 40000000, withdrawal_w = 40000000 }
fairness = { weights = 2000 }

[operators.middle]
network = { source = "middle.json", passive = "as-given" }
limits = { voltage_min_pu = 0.94, voltage_max_pu = 1.08 }
fairness = { weights = 100 }
[operators.middle.capacity]
injection_w = { default = 400000, "load:0" = 8000000 }
withdrawal_w = { default = 400000, "load:0" = 8000000 }
power_factor = { default = 1.0, "load:0" = 0.97 }

[operators.left]
network = { source = "low.json", passive = "as-given" }
capacity = { injection_w = 60000, withdrawal_w = 60000 }

[operators.right]
network = { source = "low.json" }
capacity = { injection_w = 90000, withdrawal_w = 50000 }

[[boundaries]]
parent = "top"
connection_point = "load:1"
child = "middle"
voltage_min_pu = 0.98
voltage_max_pu = 1.05

[[boundaries]]
parent = "middle"
connection_point = "load:1"
child = "left"
voltage_min_pu = 0.95
voltage_max_pu = 1.07

[[boundaries]]
parent = "middle"
connection_point = "load:2"
child = "right"
voltage_min_pu = 0.95
voltage_max_pu = 1.07
"""


def top_net() -> Net:
    """Return a triangle of 110 kV lines with a generator, one customer and one child."""
    net = pp.create_empty_network(sn_mva=10.0)
    buses = [pp.create_bus(net, 110.0) for _ in range(3)]
    for start, end in ((0, 1), (1, 2), (0, 2)):
        pp.create_line(
            net, buses[start], buses[end], 40.0, "149-AL1/24-ST1A 110.0", max_loading_percent=100.0
        )
    net.line["max_i_ka"] = 0.16
    pp.create_ext_grid(net, buses[0], vm_pu=1.02, slack_weight=0.6)
    pp.create_gen(
        net, buses[1], p_mw=5.0, vm_pu=1.02, slack_weight=0.4, min_p_mw=-30.0, max_p_mw=40.0,
        min_q_mvar=-20.0, max_q_mvar=20.0,
    )  # fmt: skip
    pp.create_load(net, buses[1], p_mw=1.0, name="a customer")
    pp.create_load(net, buses[2], p_mw=1.0, name="a child")
    return net


def middle_net() -> Net:
    """Return a 20 kV line behind a transformer, with a wind turbine, a customer, two children."""
    net = pp.create_empty_network()
    upper = pp.create_bus(net, 110.0, index=7)
    buses = [pp.create_bus(net, 20.0) for _ in range(3)]
    pp.create_ext_grid(net, upper)
    pp.create_transformer(net, upper, buses[0], "25 MVA 110/20 kV")
    for start, end, km in ((0, 1, 6.0), (1, 2, 5.0)):
        pp.create_line(net, buses[start], buses[end], km, "NA2XS2Y 1x95 RM/25 12/20 kV")
    pp.create_load(net, buses[1], p_mw=1.0)
    pp.create_load(net, buses[1], p_mw=0.1)
    pp.create_load(net, buses[2], p_mw=0.1)
    pp.create_sgen(net, buses[2], p_mw=0.3, q_mvar=0.05)
    return net


def low_net() -> Net:
    """Return a feeder of two customers, and a generator that counts where the file says so."""
    net = pp.create_empty_network()
    upper = pp.create_bus(net, 20.0)
    buses = [pp.create_bus(net, 0.4, index=k) for k in (5, 9)]
    pp.create_ext_grid(net, upper)
    pp.create_transformer(net, upper, buses[0], "0.25 MVA 20/0.4 kV")
    pp.create_line(net, buses[0], buses[1], 0.3, "NAYY 4x50 SE")
    pp.create_load(net, buses[0], p_mw=0.01)
    pp.create_load(net, buses[1], p_mw=0.01)
    pp.create_sgen(net, buses[0], p_mw=0.02)
    return net


def write(folder: Path, text: str = FILE) -> Path:
    """Write the hierarchy and its networks; return the path of the hierarchy."""
    for name, net in (("top", top_net()), ("middle", middle_net()), ("low", low_net())):
        pp.to_json(net, str(folder / f"{name}.json"))
    path = folder / "three.toml"
    path.write_text(text)
    return path
