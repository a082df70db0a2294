"""Faults of times of orders and sessions, and of shares, each a sentence."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from day_files import content, ran

from gateway.formats.faults import InputFaults

FAULTS: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (
        lambda c: c["phases"][1].pop("at"),
        "phases.first: offers rest for 900 s, and at does not say when it clears",
    ),
    (
        lambda c: c["phases"][1].pop("at"),
        "phases.first: glasshouses buy has a time, and at does not say when it clears",
    ),
    (
        lambda c: c["phases"][2].update(at="2027-06-14T09:15:00Z"),
        "phases.second: it is at 2027-06-14T09:15:00Z, before first, which stands before it",
    ),
    (
        lambda c: c["offers"][1].update(arrives="2027-06-14T09:00:00Z"),
        "offers.gas engine sell: it arrives at 2027-06-14T09:00:00Z, before glasshouses buy, "
        "which stands before it",
    ),
    (
        lambda c: c["offers"][2].update(good_until="2027-06-14T09:10:00Z"),
        "offers.battery buy: it arrives at 2027-06-14T09:10:00Z and is good until "
        "2027-06-14T09:10:00Z",
    ),
    (
        lambda c: c["needs"][0]["shares"].pop("dso-a"),
        "needs.polder noon: its buyer dso-a has no share of it",
    ),
    (
        lambda c: c["needs"][0]["shares"].update({"trader-a": 1}),
        "needs.polder noon: trader-a has a share of it, and is no dso, tso or brp",
    ),
    (lambda c: c["needs"][0]["shares"].update(tso=0), "needs.0.shares.tso"),
]


@pytest.mark.parametrize(("change", "said"), FAULTS)
def test_a_fault_is_a_sentence(
    change: Callable[[dict[str, Any]], object], said: str, tmp_path: Path
) -> None:
    case = content("gopacs")
    change(case)
    with pytest.raises(InputFaults, match=re.escape(said)):
        ran(case, tmp_path)


def test_a_shared_need_has_no_contracts(tmp_path: Path) -> None:
    case = content("nodes")
    case["needs"][0]["shares"] = {"dso": 1, "tso": 1}
    said = "needs.winter: it has shares, and longflex makes contracts with one buyer"
    with pytest.raises(InputFaults, match=re.escape(said)):
        ran(case, tmp_path)
