"""The tap positions that a scenario assumes, in its network, its actions and old files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp
import pytest
from pandapower.control import DiscreteTapControl
from scenario_files import GOOD, faults_of, load, small_net

from security_check.importers.pandapower_balanced import network_from_pandapower


def tapped(kind: str | None = "Ratio", at: int = 2, **changes: Any) -> Any:
    """Return the small net with a tap at its transformer."""
    net = small_net()
    net.trafo = net.trafo.astype({"tap_changer_type": object})
    net.trafo.loc[0, ["tap_side", "tap_changer_type"]] = ["hv", kind]
    net.trafo["tap_neutral"], net.trafo["tap_pos"] = 0.0, float(at)
    net.trafo["tap_min"], net.trafo["tap_max"] = -3.0, 3.0
    net.trafo["tap_step_percent"], net.trafo["tap_step_degree"] = 2.5, 0.0
    for column, value in changes.items():
        net.trafo[column] = value
    return net


def admittance(net: Any) -> np.ndarray:
    return network_from_pandapower(net).admittance.toarray()


def stated(text: str) -> str:
    return GOOD.replace("[network]\n", f"[network]\ntaps = {text}\n")


@pytest.mark.parametrize(
    ("text", "at"), [('"as-given"', 2), ('"neutral"', 0), ('{"trafo:0" = -1}', -1)]
)
@pytest.mark.parametrize("controlled", [False, True])
@pytest.mark.parametrize("model", ["feeder", "meshed"])
def test_are_those_of_the_network(
    tmp_path: Path, text: str, at: int, controlled: bool, model: str
) -> None:
    net = tapped()
    if controlled:
        DiscreteTapControl(net, 0, vm_lower_pu=0.99, vm_upper_pu=1.01)
    pp.to_json(net, str(tmp_path / "net.json"))
    given = stated(text).replace("[network]\n", f'[network]\nmodel = "{model}"\n')
    found = load(tmp_path, given).ac_network.admittance.toarray()
    np.testing.assert_allclose(found, admittance(tapped(at=at)), rtol=1e-12)


def test_must_be_stated_where_a_controller_moves_them(tmp_path: Path) -> None:
    net = tapped()
    DiscreteTapControl(net, 0, vm_lower_pu=0.99, vm_upper_pu=1.01)
    pp.to_json(net, str(tmp_path / "net.json"))
    assert "controller:0" in faults_of(tmp_path, GOOD)


@pytest.mark.parametrize(
    ("text", "place"),
    [('"middle"', "network.taps"), ("3", "network.taps"), ('{"trafo:9" = 1}', "trafo:9")],
)
def test_that_are_wrong(tmp_path: Path, text: str, place: str) -> None:
    pp.to_json(tapped(), str(tmp_path / "net.json"))
    assert any(found.startswith(place) for found in faults_of(tmp_path, stated(text)))


def test_are_where_actions_begin(tmp_path: Path) -> None:
    """Actions move a tap from the stated position, also one without a type."""
    pp.to_json(tapped(kind=None), str(tmp_path / "net.json"))
    text = stated('{"trafo:0" = 1}') + '\n[actions]\ntaps = {"trafo:0" = [-2, 2]}\n'
    actions = load(tmp_path, text).actions
    assert actions is not None
    present = actions.switched.choices(None).present
    assert present.taps == (1,)
    for at in (1, -2, 0):
        moved = actions.switched.set(type(present)(present.closed, (at,)))
        network, _ = actions.network(moved)
        np.testing.assert_allclose(
            network.admittance.toarray(), admittance(tapped(at=at)), rtol=1e-12
        )


class TestFilesOfPandapower2:
    def old(self, folder: Path, **changes: Any) -> None:
        """Write the net as a file of pandapower 2."""
        net = tapped(**changes)
        del net.trafo["tap_changer_type"]
        path = folder / "net.json"
        pp.to_json(net, str(path))
        content = json.loads(path.read_text())
        content["_object"]["version"] = content["_object"]["format_version"] = "2.14.0"
        path.write_text(json.dumps(content))

    def test_have_their_taps(self, tmp_path: Path) -> None:
        self.old(tmp_path, tap_phase_shifter=False)
        found = load(tmp_path, GOOD).ac_network.admittance.toarray()
        np.testing.assert_allclose(found, admittance(tapped()), rtol=1e-12)

    def test_have_their_phase_shifters(self, tmp_path: Path) -> None:
        """pandapower's own conversion makes a changer of the ratio of it."""
        self.old(tmp_path, tap_phase_shifter=True)
        found = load(tmp_path, GOOD).ac_network.admittance.toarray()
        np.testing.assert_allclose(found, admittance(tapped("Ideal")), rtol=1e-12)
        assert not np.allclose(found, admittance(tapped("Ratio")), rtol=1e-3)
