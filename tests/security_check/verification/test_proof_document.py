"""Certificates: accepted by a checker that shares nothing with us, and by no other text."""

from __future__ import annotations

import copy
import functools
import hashlib
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from meshed_networks import meshed_area
from networks import SMALL_AREAS, small_area
from presence import there
from stressed_freedom import free_case
from stressed_lines import stressed_network

from security_check.checking.check import SecurityCheck
from security_check.verification.proof_document import (
    FORMAT,
    envelopes_of,
    parts_of,
    sealed,
    without_proof,
)
from security_check.verification.state_rows import NOT_COVERED

CHECKER = Path(__file__).resolve().parents[3] / "tools" / "check_certificate.py"


@functools.cache
def checker() -> Any:
    spec = there(importlib.util.spec_from_file_location("check_certificate", CHECKER))
    module = importlib.util.module_from_spec(spec)
    there(spec.loader).exec_module(module)
    return module


@functools.cache
def content(seed: int) -> dict[str, Any]:
    case = stressed_network(seed)
    check = case.grid.allocate(case.limits)
    return document_of(check)


def document_of(check: SecurityCheck) -> dict[str, Any]:
    """Return the content of a certificate of one interval."""
    points = check.robust_rows.conditions.network.connection_points
    interval = {
        "start": "2026-07-01T00:00:00Z",
        "end": "2026-07-01T00:15:00Z",
        "status": "secure",
        "reason": "",
        "envelopes": envelopes_of(points, check.limits_w),
        "parts": parts_of(check.robust_rows, check.limits_w),
    }
    return {"format": FORMAT, "area": "test", "intervals": [interval]}


def checked(text: str, folder: Path) -> int:
    (folder / "certificate.json").write_text(text)
    return checker().main(str(folder / "certificate.json"))


def test_the_checker_is_small_and_imports_numpy_alone():
    text = CHECKER.read_text()
    assert len(text.splitlines()) <= 200
    imported = set(re.findall(r"^(?:import|from) (\w+)", text, re.MULTILINE))
    assert imported - set(sys.stdlib_module_names) == {"numpy"}


@pytest.mark.parametrize("seed", range(5))
def test_a_certificate_of_a_stressed_network_is_accepted(seed, tmp_path, capsys):
    assert checked(sealed(content(seed)), tmp_path) == 0
    rows = content(seed)["intervals"][0]["parts"][0]["rows"]
    assert f"{len(rows)} rows proved, 0 only checked, 0 failures" in capsys.readouterr().out


@pytest.mark.parametrize("name", SMALL_AREAS)
def test_certificates_of_all_kinds_of_areas(name, tmp_path):
    """Power limits at the interface, meshes, ratios, passive powers."""
    area = small_area(**SMALL_AREAS[name])
    check = area.grid.allocate(area.limits.interface)
    assert checked(sealed(document_of(check)), tmp_path) == 0


def test_it_runs_without_the_project(tmp_path):
    (tmp_path / "c.json").write_text(sealed(content(0)))
    run = subprocess.run(
        [sys.executable, "-I", str(CHECKER), str(tmp_path / "c.json")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_one_tampered_character_anywhere_is_rejected(tmp_path):
    """Each class of characters, at many places: digits, letters, punctuation."""
    text = sealed(content(2))
    rng = np.random.default_rng(0)
    for where in (0, 1, 14, 70, 76, 88, 89, len(text) - 3, len(text) - 2, len(text) - 1):
        assert_rejected(text, where, rng, tmp_path)
    for where in rng.integers(0, len(text), 60):
        assert_rejected(text, int(where), rng, tmp_path)


def assert_rejected(text: str, where: int, rng: np.random.Generator, folder: Path) -> None:
    old = text[where]
    pool = "0123456789" if old.isdigit() else 'abcdefz,.:[]{}"- \n'
    new = rng.choice([each for each in pool if each != old])
    assert checked(text[:where] + new + text[where + 1 :], folder) == 1
    assert checked(text[:where] + text[where + 1 :], folder) == 1


def numbers_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of all numbers of a document."""
    if isinstance(value, dict):
        return [each for key, item in value.items() for each in numbers_in(item, (*path, key))]
    if isinstance(value, list):
        return [each for k, item in enumerate(value) for each in numbers_in(item, (*path, k))]
    return [path] if isinstance(value, int | float) and not isinstance(value, bool) else []


def changed(document: dict[str, Any], path: tuple[Any, ...], change: float) -> dict[str, Any]:
    """Return a copy with one number changed, and all hashes made to fit."""
    other = copy.deepcopy(document)
    place: Any = other
    for key in path[:-1]:
        place = place[key]
    old = place[path[-1]]
    place[path[-1]] = type(old)(old + (change if old == 0 else change * abs(old)) + (old % 1 == 0))
    for interval in other["intervals"]:
        for part in interval["parts"]:
            text = json.dumps(part["network"], separators=(",", ":"))
            part["network_hash"] = hashlib.sha256(text.encode()).hexdigest()
    return other


RAISED = ("limit", "value", "bound", "worst", "injection_w", "withdrawal_w")


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 2])
def test_a_forger_who_mends_the_hashes_proves_nothing_false(seed, tmp_path):
    """Larger envelopes, lower limits, other values: the mathematics rejects them, not the sum."""
    document = content(seed)
    part = document["intervals"][0]["parts"][0]
    envelopes = document["intervals"][0]["envelopes"]
    for point, envelope in envelopes.items():
        for key, own in envelope.items():
            text = sealed(changed(document, ("intervals", 0, "envelopes", point, key), 0.5))
            if own > 1e-3 * max(each[key] for each in envelopes.values()):
                assert checked(text, tmp_path) == 1
    for k, row in enumerate(part["rows"]):
        base = ("intervals", 0, "parts", 0, "rows", k)
        assert checked(sealed(changed(document, (*base, "value"), 0.01)), tmp_path) == 1
        assert checked(sealed(changed(document, (*base, "value"), -0.01)), tmp_path) == 1
        beyond = -0.02 if row["limit"] > 0 else 0.02
        below = row["limit"] + beyond * abs(row["limit"]) < row["value"]
        lower = copy.deepcopy(document)
        lower["intervals"][0]["parts"][0]["rows"][k]["limit"] += beyond * abs(row["limit"])
        if below:
            assert checked(sealed(lower), tmp_path) == 1


def test_a_certificate_without_its_splits_is_rejected(tmp_path, capsys):
    document = copy.deepcopy(content(0))
    part = document["intervals"][0]["parts"][0]
    assert part["cover"], "this network needs no step, so the test has no teeth"
    part["cover"] = part["cover"][:-1]
    assert checked(sealed(document), tmp_path) == 1
    assert "are not bounded over a box" in capsys.readouterr().out


def test_dropped_and_renamed_rows_are_missed(tmp_path, capsys):
    for change in (lambda rows: rows.pop(0), lambda rows: rows[0].update(element="bus:99")):
        document = copy.deepcopy(content(0))
        change(document["intervals"][0]["parts"][0]["rows"])
        assert checked(sealed(document), tmp_path) == 1
        assert "rows are missing" in capsys.readouterr().out


def test_rows_that_are_only_checked_are_no_proof(tmp_path, capsys):
    document = copy.deepcopy(content(0))
    row = document["intervals"][0]["parts"][0]["rows"][0]
    row |= {"standing": "only checked", "worst": None, "value": None, "bound": None}
    assert checked(sealed(document), tmp_path) == 1
    out = capsys.readouterr().out
    assert "1 only checked, 0 failures" in out
    assert "not a proof" in out


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("cones", "proofs do not cover reactive power chosen freely up to a power factor"),
        ("generators", NOT_COVERED),
    ],
)
def test_what_the_proof_does_not_cover_is_named_with_all_its_rows(kind, reason, tmp_path, capsys):
    if kind == "generators":
        check = meshed_area(2).allocate()
    else:
        case = free_case(1, 2, 2, (kind,))
        check = case.grid().allocate(case.interface)
    document = document_of(check)
    (part,) = document["intervals"][0]["parts"]
    assert len(part["rows"]) == len(check.robust_rows.limited)
    assert {row["standing"] for row in part["rows"]} == {"only checked"}
    assert checked(sealed(document), tmp_path) == 1
    assert f"not proved: {reason}" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["outages", "taps"])
def test_each_state_is_checked_over_the_same_envelopes(kind, tmp_path, capsys):
    case = free_case(2, 2, 2, (kind,))
    check = case.grid().allocate(case.interface)
    document = document_of(check)
    parts = document["intervals"][0]["parts"]
    assert len({part["state"] for part in parts}) == len(parts) > 1
    proved = all(row["standing"] == "proved" for part in parts for row in part.get("rows", []))
    assert checked(sealed(document), tmp_path) == (0 if proved else 1)
    assert "interval" not in capsys.readouterr().out


def test_a_proof_that_does_not_count_is_named(tmp_path, capsys):
    document = copy.deepcopy(content(2))
    (interval,) = document["intervals"]
    rows = len(interval["parts"][0]["rows"])
    interval["parts"] = [without_proof(part, "it is shared") for part in interval["parts"]]
    assert len(interval["parts"][0]["rows"]) == rows
    assert checked(sealed(document), tmp_path) == 1
    assert "not proved: it is shared" in capsys.readouterr().out
