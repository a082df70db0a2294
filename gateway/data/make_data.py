"""Write the network and the day of profiles that ship with the project, from simbench.

Run ``python gateway/data/make_data.py`` in an environment with the development tools; only
this script needs simbench.  ``README.md`` beside it names source and licence.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandapower as pp
import pandas as pd
import simbench

HERE = Path(__file__).parent
NETWORK_CODE = "1-LV-semiurb4--0-sw"
# A sunny Monday in spring: photovoltaics at full height, heat pumps still running.
DAY = "2016-05-02"
HOUSEHOLDS = ["H0-A", "H0-B", "H0-C", "H0-G", "H0-L"]
BUSINESSES = ["G1-A", "G1-C", "G2-A", "G4-A", "G4-B", "G6-A"]
PHOTOVOLTAICS = ["PV1", "PV3", "PV5", "PV8"]
HEAT_PUMPS = ["Air_Parallel_1", "Air_Semi-Parallel_1", "Soil_Alternative_1"]
CHARGERS = ["HLS_A_3.7", "HLS_B_3.7", "HLS_A_11.0"]
# What neither the power flow nor the import of a network looks at.
DECORATION = ["geo", "zone", "subnet", "voltLvl", "substation", "profile"]
TABLES = ["bus", "load", "sgen", "ext_grid", "line", "trafo", "switch"]


def compact_network() -> pp.pandapowerNet:
    """Return the network without profiles, drawings, results and standard types."""
    given = simbench.get_simbench_net(NETWORK_CODE)
    net = pp.create_empty_network(name=NETWORK_CODE, f_hz=given.f_hz, sn_mva=given.sn_mva)
    for table in TABLES:
        rows = given[table]
        blank = [c for c in rows.columns if c not in net[table].columns and rows[c].isna().all()]
        net[table] = rows.drop(columns=[*blank, *(c for c in DECORATION if c in rows.columns)])
    net["std_types"] = {kind: {} for kind in net["std_types"]}
    return net


def one_day() -> pd.DataFrame:
    """Return 96 rows of profiles, each relative to its own rated power, times as in simbench."""
    folder = Path(simbench.__file__).parent / "networks" / "1-complete_data-mixed-all-2-sw"
    load = pd.read_csv(folder / "LoadProfile.csv", sep=";")
    renewable = pd.read_csv(folder / "RESProfile.csv", sep=";")
    wanted = [*HOUSEHOLDS, *BUSINESSES, *HEAT_PUMPS, *CHARGERS]
    day = pd.concat(
        [load["time"], load[[f"{name}_pload" for name in wanted]], renewable[PHOTOVOLTAICS]],
        axis="columns",
    ).rename(columns=lambda name: name.removesuffix("_pload"))
    time = pd.to_datetime(day.pop("time"), format="%d.%m.%Y %H:%M")
    day.insert(0, "time", time.dt.strftime("%H:%M"))
    day = day[time.dt.strftime("%Y-%m-%d") == DAY]
    if len(day) != 96 or not np.isfinite(day.drop(columns="time").to_numpy()).all():
        raise ValueError(f"{DAY} is not a whole day of 96 quarter-hours")
    return day


def main() -> None:
    """Write both files."""
    pp.to_json(compact_network(), str(HERE / "semiurb4.json"), indent=None)
    one_day().to_csv(HERE / "day.csv", index=False, float_format="%.4g", lineterminator="\n")


if __name__ == "__main__":
    main()
