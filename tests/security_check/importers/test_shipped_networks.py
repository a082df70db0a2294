"""Every network that ships: our loading is pandapower's, or it is refused as docs/networks.md says.

Slow: SimBench needs some ten seconds for a network.  The cases of a scenario come one after the
other, because its tables are read once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from sampling import some
from shipped_networks import apart, builders, models, opened, refusals, simbench_codes

PAGE = Path(__file__).parents[3] / "docs" / "networks.md"
REASONS = {
    "not rated": r"a real rating above 0 and below",
    "negative quantities": r"its (r_ohm_per_km|x_ohm_per_km|c_nf_per_km|vkr?_percent) is -",
    "several external grids": r"feed the same part of the network",
    "a generator at the bus of an external grid": r"holds the voltage of its bus already",
    "elements that are not modelled": r"elements of type \w+ are not supported",
    "no power flow without generators": r"its power flow does not converge",
}


class Row(NamedTuple):
    """A row of the page: which networks, in which models they can be used, and why not."""

    pattern: str
    usable: dict[str, bool]
    reasons: frozenset[str]


@cache
def rows() -> tuple[Row, ...]:
    lines = PAGE.read_text(encoding="utf-8").partition("<!-- networks -->")[2].splitlines()
    return tuple(_row(line) for line in lines if line.startswith("| `"))


def _row(line: str) -> Row:
    pattern, feeder, meshed, why = (cell.strip() for cell in line.strip("|").split("|"))
    assert {feeder, meshed} <= {"yes", "no"}
    usable = {"feeder": feeder == "yes", "meshed": meshed == "yes", "phases": meshed == "yes"}
    return Row(pattern.strip("`"), usable, frozenset(filter(None, why.split(", "))))


def _sources() -> Iterator[str]:
    yield from builders()
    yield from simbench_codes()


def _large(code: str) -> bool:
    """Return whether a network has all areas of its levels: some of those take minutes each."""
    return "complete_data" in code or "-all-" in code


def test_the_page_knows_every_network_and_every_reason() -> None:
    first = {}
    for source in _sources():
        first[source] = next(row.pattern for row in rows() if fnmatchcase(source, row.pattern))
    assert set(first.values()) == {row.pattern for row in rows()}, "a row is about no network"
    assert {reason for row in rows() for reason in row.reasons} == set(REASONS)


@pytest.mark.slow
@pytest.mark.timeout(900)  # the largest has all of SimBench's levels
@pytest.mark.parametrize(
    "source", [*some(builders(), 8), *some(sorted(simbench_codes(), key=_large), 48)]
)
def test_loading_is_pandapowers_or_the_network_is_refused(source: str) -> None:
    row = next(row for row in rows() if fnmatchcase(source, row.pattern))
    net = opened(source)
    said: list[str] = []
    for model, build in models(net).items():
        network = refusals(net, build)
        assert isinstance(network, tuple) != row.usable[model], (model, network)
        if isinstance(network, tuple):
            said += network
        else:
            assert apart(net, network) < 1e-6
    assert row.reasons == {
        name for name, words in REASONS.items() if any(re.search(words, each) for each in said)
    }
