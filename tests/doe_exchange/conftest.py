"""A village and its area, made once."""

from __future__ import annotations

from typing import Any

import pandapower.networks
import pytest
from others_warnings import others_warnings_ignored

import doe_exchange as dx


@pytest.fixture(scope="session")
def net() -> Any:
    """A feeder of 13 houses behind one transformer."""
    with others_warnings_ignored():
        return pandapower.networks.create_kerber_landnetz_freileitung_1()


@pytest.fixture(scope="session")
def village(net: Any) -> dx.Area:
    return dx.Area.from_pandapower(
        net,
        capacity_w=(15_000, 10_000),
        fallback_w=(1_500, 1_000),
        interface=(0.98, 1.02),
        intervals={"start": "2026-07-01T12:00:00Z", "count": 2},
        participants={"anna": ["load:3"], "ben": ["load:7"]},
        market={"tick": "0.001", "lot_w": 100},
        area="village",
    )


@pytest.fixture(scope="session")
def reference() -> dx.Area:
    return dx.Area.from_scenario("bundled:reference")


@pytest.fixture(scope="session")
def allocated(reference: dx.Area) -> dx.Envelopes:
    """The envelopes of the reference case."""
    return reference.allocate()
