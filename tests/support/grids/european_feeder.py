"""The European low-voltage test feeder: 907 buses, 55 single-phase customers, as two sources."""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import Any

import numpy as np
import pandapower.networks
from others_warnings import others_warnings_ignored

SOURCE_PU = 1.05


@functools.cache
def _net() -> Any:
    with others_warnings_ignored():
        return pandapower.networks.ieee_european_lv_asymmetric("on_peak_566")


def european_net() -> Any:
    """Return a copy of the pandapower net, which carries zero-sequence data."""
    return copy.deepcopy(_net())


def european_circuit(folder: Path) -> Path:
    """Write the same feeder as an OpenDSS master file and return its path."""
    net = _net()
    lines = [
        "clear",
        f"new circuit.european basekv=11 pu={SOURCE_PU} phases=3 bus1=b0 "
        "mvasc3=10000 mvasc1=10000 x1r1=10 x0r0=10",
        "new transformer.t phases=3 windings=2 buses=(b0 b1.1.2.3.0) conns=(delta wye) "
        "kvs=(11 0.416) kvas=(800 800) xhl=4 %rs=(0.2 0.2) leadlag=lag",
    ]
    for index, line in net.line.iterrows():
        lines.append(
            f"new line.l{index} bus1=b{line.from_bus} bus2=b{line.to_bus} phases=3 "
            f"r1={line.r_ohm_per_km} x1={line.x_ohm_per_km} r0={line.r0_ohm_per_km} "
            f"x0={line.x0_ohm_per_km} c1=0 c0=0 units=km length={line.length_km} "
            f"normamps={1000 * line.max_i_ka}"
        )
    for index, load in net.asymmetric_load.iterrows():
        phase = 1 + int(np.argmax([load.p_a_mw, load.p_b_mw, load.p_c_mw]))
        lines.append(
            f"new load.{index} phases=1 bus1=b{load.bus}.{phase} kv=0.23 kw=1 pf=1 model=1 "
            "vminpu=0.5 vmaxpu=1.8"
        )
    lines += ["set voltagebases=[11 0.416]", "calcvoltagebases"]
    master = folder / "european.dss"
    master.write_text("\n".join(lines) + "\n")
    return master
