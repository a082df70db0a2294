"""Envelopes and verdicts as frames, files and pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import doe_exchange as dx
from gateway.cli.main import app


@pytest.fixture(scope="module")
def envelopes(village: dx.Area) -> dx.Envelopes:
    return village.allocate()


def test_a_frame_has_a_row_for_each_interval_and_point(envelopes: dx.Envelopes) -> None:
    frame = envelopes.to_frame()
    assert len(frame) == len(envelopes) == 26
    assert frame.dtypes.astype(str).to_dict() == {
        "start": "datetime64[ns, UTC]",
        "end": "datetime64[ns, UTC]",
        "connection_point": "string",
        "injection_limit_w": "int64",
        "withdrawal_limit_w": "int64",
        "injection_bottleneck": "string",
        "withdrawal_bottleneck": "string",
    }
    row = frame.iloc[16]
    envelope = envelopes.envelope("load:3", "2026-07-01T12:15:00Z")
    assert isinstance(envelope, dx.Envelope)
    assert (row.connection_point, row.injection_limit_w) == ("load:3", envelope.injection_limit_w)
    assert row.injection_bottleneck == envelope.injection_bottleneck == "trafo:0"


def test_what_they_say_of_themselves(envelopes: dx.Envelopes, allocated: dx.Envelopes) -> None:
    first, *rows = repr(envelopes).splitlines()
    assert first == (
        "Envelopes of village, 2 intervals from 2026-07-01T12:00:00Z, 13 connection points, "
        "proved secure"
    )
    assert rows[0].split()[0] == "start"
    assert len(rows) == 12  # the heads, ten rows and what is left out
    single = repr(allocated).splitlines()
    assert single[1].split()[0] == "connection_point"
    html = envelopes._repr_html_()
    assert html.startswith("<div>Envelopes of village")
    assert "<table" in html


@pytest.mark.parametrize("name", ["e.json", "e.csv", "e.parquet"])
def test_a_file_read_back_is_the_same(
    village: dx.Area, envelopes: dx.Envelopes, tmp_path: Path, name: str
) -> None:
    envelopes.write(tmp_path / name)
    assert village.read_envelopes(tmp_path / name).to_frame().equals(envelopes.to_frame())


def test_the_file_is_that_of_the_command(allocated: dx.Envelopes, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.parquet", tmp_path / "theirs.parquet"
    allocated.write(ours)
    result = CliRunner().invoke(app, ["allocate", "bundled:reference", "-o", str(theirs)])
    assert result.exit_code == 0
    assert ours.read_bytes() == theirs.read_bytes()


def test_a_frame_given_back_is_the_same(village: dx.Area, envelopes: dx.Envelopes) -> None:
    frame = envelopes.to_frame()
    assert village.read_envelopes(frame).to_frame().equals(frame)
    frame["injection_limit_w"] = np.floor(frame["injection_limit_w"] * 0.5)  # floats, but whole
    halved = village.read_envelopes(frame.drop(columns=["injection_bottleneck"]))
    assert halved.to_frame().injection_limit_w.tolist() == frame.injection_limit_w.tolist()


def test_every_fault_of_a_frame(village: dx.Area, envelopes: dx.Envelopes) -> None:
    frame = envelopes.to_frame()
    with pytest.raises(dx.InputFaults) as missing:
        village.read_envelopes(frame.drop(columns=["end", "injection_limit_w"]))
    assert [fault.element for fault in missing.value.faults] == ["end", "injection_limit_w"]
    with pytest.raises(dx.InputFaults) as stranger:
        village.read_envelopes(frame.replace({"load:3": "load:33"}))
    assert {fault.element for fault in stranger.value.faults} == {"load:3", "load:33"}
    wrong = frame.astype({"injection_limit_w": float})
    wrong.loc[[1, 15], "injection_limit_w"] = [0.5, -1.0]
    with pytest.raises(dx.InputFaults) as values:
        village.read_envelopes(wrong)
    assert [fault.element for fault in values.value.faults] == [
        "load:1.injection_limit_w",
        "load:2.injection_limit_w",
    ]


@pytest.mark.parametrize(
    ("point", "interval", "sentence"),
    [
        ("load:3", None, "interval: it is missing, and there are 2 from 2026-07-01T12:00:00Z on"),
        ("load:3", "2026-07-01T13:00:00Z", "none starts at 2026-07-01T13:00:00Z"),
        ("load:3", "2026-07-01T12:00:00", "it has no offset"),
        ("load:33", "2026-07-01T12:00:00Z", "load:33: it is not a connection point"),
    ],
)
def test_no_such_envelope(
    envelopes: dx.Envelopes, point: str, interval: str | None, sentence: str
) -> None:
    with pytest.raises(dx.InputFaults, match=sentence):
        envelopes.envelope(point, interval)


def test_the_verdict_is_that_of_the_command(allocated: dx.Envelopes, tmp_path: Path) -> None:
    allocated.write(tmp_path / "e.json")
    arguments = ["verify", "bundled:reference", str(tmp_path / "e.json"), "--json", "--seed", "7"]
    result = CliRunner().invoke(app, arguments)
    verdict = allocated.verify(seed=7)
    assert json.loads(verdict.content.model_dump_json()) == json.loads(result.stdout)
    assert verdict
    assert verdict.secure
    assert verdict.proof["proved"] + verdict.proof["proved_below_limit"] > 200
    assert verdict.proof["only_checked"] == 0


def test_envelopes_that_are_not_secure(village: dx.Area, envelopes: dx.Envelopes) -> None:
    frame = envelopes.to_frame()
    frame["injection_limit_w"] = 15_000
    done: list[int] = []
    verdict = village.read_envelopes(frame).verify(step=done.append)
    assert done == [1, 2]
    assert not verdict
    assert verdict.element == "trafo:0"
    assert verdict.loading == pytest.approx(1.17, abs=0.01)
    point = verdict.worst_point.to_frame()
    assert point.dtypes.astype(str).tolist() == ["string", "int64", "int64"]
    assert set(point.power_w) == {15_000}
    assert repr(verdict).startswith("not secure: trafo:0 reaches ")
    assert "0 of 2 intervals are secure" in repr(verdict)
    binding = verdict.to_frame()
    assert binding.element.iloc[0] == "trafo:0"
    assert (binding.loading > 0.99).all()


def test_what_binds(envelopes: dx.Envelopes) -> None:
    frame = envelopes.binding.to_frame()
    assert set(frame.element) == {"trafo:0"}
    assert frame.dtypes.astype(str).to_dict() == {
        "start": "datetime64[ns, UTC]",
        "element": "string",
        "value": "float64",
        "limit": "float64",
        "unit": "string",
        "loading": "float64",
        "proof": "string",
        "detail": "string",
    }


@pytest.mark.parametrize("kind", ["envelopes", "binding", "distribution", "network"])
def test_pictures(envelopes: dx.Envelopes, tmp_path: Path, kind: Any) -> None:
    path = tmp_path / "picture.png"
    picture = envelopes.plot(path, kind=kind, points=["load:3"])
    assert path.read_bytes().startswith(b"\x89PNG")
    assert picture._repr_png_().startswith(b"\x89PNG")
    assert repr(picture).startswith("<Picture: ")
    picture.save(tmp_path / "picture.svg")
    assert "<svg" in (tmp_path / "picture.svg").read_text()


def test_pictures_that_cannot_be(envelopes: dx.Envelopes, tmp_path: Path) -> None:
    unknown: Any = "graph"
    with pytest.raises(dx.InputFaults, match=r"kind: it should be one of .* found 'graph'"):
        envelopes.plot(kind=unknown)
    with pytest.raises(dx.GatewayError, match="cannot be drawn"):
        envelopes.plot(tmp_path / "picture.abc")
    with pytest.raises(dx.InputFaults, match="load:33"):
        envelopes.plot(points=["load:33"])
    with pytest.raises(dx.InputFaults, match="none starts at"):
        envelopes.plot(kind="network", at="2026-07-01T13:00:00Z")


def test_a_picture_of_one_interval_is_of_the_network(
    allocated: dx.Envelopes, envelopes: dx.Envelopes
) -> None:
    assert "worst loading inside the envelopes" in repr(allocated.plot())
    assert repr(envelopes.plot()) == "<Picture: Envelopes, 2026-07-01>"
