"""The section [flexibility]: what is read of it, and its faults."""

from __future__ import annotations

from pathlib import Path

import pandapower as pp
import pytest
from flexible_area import write_scenario
from scenario_files import GOOD, faults_of, small_net

from exchange.vocabulary.flexibility import FlexibilityRules, Matching
from exchange.vocabulary.rules import participants_of
from gateway.messages.topics import Topics
from gateway.operations.server_places import participants_in, requesters_in
from gateway.scenario.loading import load_scenario


def test_rules_terms_and_participants_follow_from_the_section(tmp_path: Path) -> None:
    path = write_scenario(tmp_path, "pairwise")
    text = path.read_text().replace("up_w = 500000", "up_w = {default = 7, c-n4 = 9}")
    path.write_text(text.replace("down_w = 500000", ""))
    scenario = load_scenario(path)
    assert scenario.rules.flexibility == FlexibilityRules(("dso",), Matching.PAIRWISE)
    ways = {e.connection_point: (e.flexible_up_w, e.flexible_down_w) for e in scenario.terms()}
    assert ways.pop("c-n4") == (9, 0)
    assert set(ways.values()) == {(7, 0)}
    owners = {each.participant for each in scenario.terms()}
    assert participants_of(scenario.rules, scenario.terms()) == owners | {"dso"}
    assert participants_in([scenario]) == {Topics("flexible"): owners | {"dso"}}
    assert requesters_in([scenario]) == {"dso"}


def test_without_the_section_there_is_no_such_market(tmp_path: Path) -> None:
    path = write_scenario(tmp_path, "pairwise")
    path.write_text(path.read_text().partition("[flexibility]")[0])
    scenario = load_scenario(path)
    assert scenario.rules.flexibility is None
    assert {each.flexible_up_w for each in scenario.terms()} == {0}


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        ('"dso"', '"tso"', "flexibility.requesters", "'tso' is reserved"),
        ('"dso"', '"d/o"', "flexibility.requesters", "has blanks, slashes"),
        ('"dso"', '"dso", "dso"', "flexibility.requesters", "dso is named 2 times"),
        ('["dso"]', "[]", "flexibility.requesters", "at least 1"),
        ('"pairwise"', '"fair"', "flexibility.matching", "'welfare' or 'pairwise'"),
        ("up_w = 500000", "up_w = {n4 = 5}", "n4", "flexibility.up_w names it, but it is not"),
        ("down_w = 500000", "down_w = -1", "flexibility.down_w", "greater than or equal to 0"),
        (
            "[flexibility]",
            '[metering]\npenalty_price = "0.5"\n[flexibility]',
            "flexibility",
            "a reading does not tell an activation from a breach",
        ),
    ],
)
def test_faults_name_the_entry(tmp_path: Path, old: str, new: str, place: str, words: str) -> None:
    path = write_scenario(tmp_path, "pairwise")
    text = path.read_text()
    assert old in text
    found = faults_of(tmp_path, text.replace(old, new))
    assert any(words in each for each in found[place]), found


def test_a_network_with_ac_power_flow_has_no_such_market(tmp_path: Path) -> None:
    pp.to_json(small_net(), str(tmp_path / "net.json"))
    found = faults_of(tmp_path, GOOD + '[flexibility]\nrequesters = ["dso"]\n')
    assert list(found) == ["flexibility"]
    assert 'network.kind "linear"' in found["flexibility"][0]
