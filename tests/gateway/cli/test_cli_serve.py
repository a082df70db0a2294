from __future__ import annotations

import asyncio
import json
import socket
import stat
import time
import urllib.error
import urllib.request
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from gateway_servers import Mosquitto, RedisServer, free_port
from running_exchange import served
from typer.testing import CliRunner

from exchange.vocabulary.rules import MarketRules
from gateway.cli.main import app
from gateway.installation.area_runner import covered
from gateway.installation.intervals import due_sessions, last_gate
from gateway.messages.topics import Topics
from gateway.scenario.loading import load_scenario
from gateway.transport.mqtt import MqttTransport
from gateway.transport.mqtt_client import MqttSettings
from gateway.transport.participant_client import ParticipantClient

SCENARIO = """
area = "north"
[network]
source = "pandapower:simple_four_bus_system"
[interface]
voltage_min_pu = 0.98
voltage_max_pu = 1.04
[capacity]
injection_w = 20000
withdrawal_w = 20000
[participants]
bakery = ["load:0"]
"""
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "scenario.toml"
    path.write_text(SCENARIO)
    return path


def ask(where: dict[str, Any], **order: Any) -> dict[str, Any]:
    user = "bakery" if "password" in order else None
    password = order.pop("password", None)
    host, port = where["mqtt"].removeprefix("mqtt://").split(":")
    settings = MqttSettings(host, int(port), "bakery", username=user, password=password, version=4)

    async def once() -> dict[str, Any]:
        async with ParticipantClient(settings, Topics("north"), "bakery") as client:
            return await client.ask(order)

    return asyncio.run(once())


def an_order() -> dict[str, Any]:
    now = datetime.now(UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    quarter = timedelta(minutes=15)
    # Two quarters ahead: the next gate may close while the test runs.
    start = midnight + ((now - midnight) // quarter + 2) * quarter
    return {
        "type": "submit",
        "client_order_id": "a1",
        "connection_point": "load:0",
        "direction": "injection",
        "interval": start.isoformat().replace("+00:00", "Z"),
        "side": "sell",
        "quantity_w": 1000,
        "price": "0.0100",
    }


@pytest.mark.slow
def test_what_was_answered_is_there_after_a_restart(scenario: Path, tmp_path: Path) -> None:
    order = an_order()
    accounts = tmp_path / "accounts.toml"
    accounts.write_text('bakery = "flour"\ntso = "volt"\n')
    options = ("--data", str(tmp_path / "data"), "--accounts", str(accounts))
    with served(scenario, *options) as where:
        assert where["area"] == "north"
        report = ask(where, password="flour", **order)
        assert report["type"] == "accepted"
    before = replayed(tmp_path / "data" / "north")
    assert sum(len(session["orders"]) for session in before["state"]["sessions"]) == 1
    foreign = run("replay", tmp_path / "data" / "north", "--area", "south")
    assert foreign.exit_code == 2
    assert "north, area south: this journal has no entries" in foreign.stderr
    with served(scenario, *options) as where:
        again = ask(where, password="flour", **order)
        assert (again["type"], again["repeated"]) == ("accepted", True)
    after = replayed(tmp_path / "data" / "north")
    assert after["entries"] > before["entries"]
    assert sum(len(session["orders"]) for session in after["state"]["sessions"]) == 1


LINEAR = """
area = "north"
[network]
kind = "linear"
source = "net.json"
[interface]
voltage_min_pu = 0.98
voltage_max_pu = 1.04
[capacity]
injection_w = 20000
withdrawal_w = 20000
[participants]
bakery = ["load:0"]
mill = ["load:1"]
"""
LINE_OF_TWO = {
    "buses": ["grid", "near", "far"],
    "slack_bus": "grid",
    "branches": [
        {"from": "grid", "to": "near", "x_pu": 1.0, "rating_mw": 0.012},
        {"from": "near", "to": "far", "x_pu": 1.0, "rating_mw": 0.005},
    ],
    "connection_points": [{"id": "load:0", "bus": "near"}, {"id": "load:1", "bus": "far"}],
}


@pytest.mark.slow
def test_a_linear_network_is_served(tmp_path: Path) -> None:
    path = tmp_path / "scenario.toml"
    path.write_text(LINEAR)
    (tmp_path / "net.json").write_text(json.dumps(LINE_OF_TWO))
    with served(path, "--data", str(tmp_path / "data")) as where:
        report = ask(where, **an_order())
        assert report["type"] == "accepted"
    sessions = replayed(tmp_path / "data" / "north")["state"]["sessions"]
    # 5 kW at the end by its own branch, the rest of 12 kW before it; by both ways of flow.
    assert sessions
    for session in sessions:
        assert [row[:3] for row in session["holdings"]] == [
            ["load:0", 7_000, 7_000],
            ["load:1", 5_000, 5_000],
        ]


def replayed(source: Path | str) -> Any:
    result = CliRunner().invoke(app, ["replay", str(source), "--json"])
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.slow
def test_real_servers_by_their_urls(
    scenario: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = ("--appendonly", "yes", "--appendfsync", "always", "--requirepass", "s3cret")
    with Mosquitto(tmp_path) as broker, RedisServer(tmp_path, *settings) as redis:
        environment = {
            "DOE_MQTT_URL": f"mqtt://exchange:s3cret@127.0.0.1:{broker.port}",
            "DOE_REDIS_URL": f"redis://:s3cret@127.0.0.1:{redis.port}/0",
            "DOE_ARCHIVE": str(tmp_path / "archive.jsonl"),
        }
        witness = tmp_path / "doe-exchange-data" / "north.witness"
        with served(scenario, environment=environment) as where:
            assert where["mqtt"] == f"mqtt://127.0.0.1:{broker.port}"
            assert where["journal"] == f"redis://127.0.0.1:{redis.port}/0"
            assert stat.S_IMODE(witness.stat().st_mode) == 0o600
            report = ask(where, **an_order())
            assert report["type"] == "accepted"
        content = replayed(environment["DOE_REDIS_URL"] + "#north")
        assert sum(len(session["orders"]) for session in content["state"]["sessions"]) == 1
        for faulty in ("redis://:wrong-s3cret@", "redis://:s3cret/wrong@"):
            url = environment["DOE_REDIS_URL"].replace("redis://:s3cret@", faulty)
            refused = run("replay", f"{url}#north")
            assert refused.exit_code == 2
            assert "cret" not in refused.stderr
    assert "s3cret" not in "".join(capfd.readouterr())


@pytest.mark.slow
def test_redis_away_longer_than_the_exchange_waits_does_not_end_it(
    scenario: Path, tmp_path: Path
) -> None:
    """It says that it is offline meanwhile, and goes on by itself when Redis is back."""
    with Mosquitto(tmp_path) as broker, RedisServer(tmp_path) as redis:
        environment = {
            "DOE_MQTT_URL": f"mqtt://127.0.0.1:{broker.port}",
            "DOE_REDIS_URL": redis.url,
        }

        def status() -> str:
            return str(asyncio.run(retained(broker, Topics("north").session))["status"])

        def wait_for(wanted: str, within_s: float = 40.0) -> None:
            deadline = time.monotonic() + within_s
            while status() != wanted:
                assert time.monotonic() < deadline, f"the session is never {wanted}"

        with served(scenario, environment=environment) as where:
            assert ask(where, **an_order())["type"] == "accepted"
            places = enumerate(((redis.kill, redis.start), (redis.pause, redis.go_on)), 2)
            for number, (away, back) in places:
                wait_for("online")
                away()
                try:
                    wait_for("offline")
                    time.sleep(3)
                finally:
                    back()
                wait_for("online")
                report = ask(where, **an_order() | {"client_order_id": f"a{number}"})
                assert (report["type"], report["order_id"]) == ("accepted", number)
        assert status() == "offline", "a clean end says so, too"


async def retained(broker: Mosquitto, topic: str) -> Any:
    settings = replace(broker.settings("reader"), session_expiry_s=0, version=5)
    async with MqttTransport(settings, [topic]) as reader, asyncio.timeout(10):
        (message, *_) = await reader.receive(1)
        return json.loads(message.payload)


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_day_that_is_over_cannot_be_served() -> None:
    result = run("serve", "bundled:demo")
    assert result.exit_code == 2
    assert "2016-05-02T23:45:00Z" in result.stderr


def test_accounts_of_strangers_are_faults(scenario: Path, tmp_path: Path) -> None:
    accounts = tmp_path / "accounts.toml"
    accounts.write_text('butcher = "knife"\nbakery = ""\n')
    result = run("serve", scenario, "--accounts", accounts)
    assert result.exit_code == 2
    assert "butcher" in result.stderr
    assert "bakery" in result.stderr


def test_passwords_that_others_can_read_get_a_warning(scenario: Path, tmp_path: Path) -> None:
    accounts = tmp_path / "accounts.toml"
    accounts.write_text('bakery = "flour"\n')
    (tmp_path / "north").touch()  # serve ends before it starts anything
    for mode, warned in ((0o644, True), (0o640, True), (0o600, False)):
        accounts.chmod(mode)
        result = run("serve", scenario, "--accounts", accounts, "--data", tmp_path)
        assert result.exit_code == 2
        assert ("can read the passwords in" in result.stderr) == warned
        assert "flour" not in result.stderr


def test_witness_and_archive_take_the_place_of_no_other_file(
    scenario: Path, tmp_path: Path
) -> None:
    before = scenario.read_bytes()
    for option in ("--witness", "--archive"):
        result = run("serve", scenario, option, scenario, "--data", tmp_path)
        assert result.exit_code == 2
        assert "it is an input of this command" in result.stderr.replace("\n", " ")
    one = tmp_path / "one"
    result = run("serve", scenario, "--witness", one, "--archive", one, "--data", tmp_path)
    assert result.exit_code == 2
    assert "two results of this command have this name" in result.stderr.replace("\n", " ")
    assert scenario.read_bytes() == before
    assert not one.exists()


def test_accounts_are_for_our_own_broker(
    scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOE_MQTT_URL", "mqtt://127.0.0.1:1")
    result = run("serve", scenario, "--accounts", tmp_path / "accounts.toml")
    assert result.exit_code == 2
    assert "DOE_MQTT_URL" in result.stderr


def test_a_url_that_is_none_is_a_sentence(
    scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOE_MQTT_URL", "broker")
    result = run("serve", scenario, "--data", tmp_path)
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr


def test_a_journal_needs_a_folder(scenario: Path, tmp_path: Path) -> None:
    afile = tmp_path / "afile"
    afile.touch()
    (tmp_path / "north").touch()
    for data, reason in (
        ("/proc/nope", "no such file or directory"),
        (afile, "not a directory"),
        (tmp_path, "it is a file"),
    ):
        result = run("serve", scenario, "--data", data)
        assert result.exit_code == 2
        assert f"the journal cannot be kept in {data}/north: {reason}" in result.stderr


def curl(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def value_of(metrics: str, name: str) -> float:
    (line,) = [each for each in metrics.splitlines() if each.startswith(f"{name}{{")]
    return float(line.rpartition(" ")[2])


@pytest.mark.slow
def test_an_operator_sees_health_and_measures(scenario: Path, tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text("metrics_port = 0\nmqtt_port = 0\n[loop]\nheartbeat_s = 1\n")
    port = free_port()
    with RedisServer(tmp_path) as redis:
        environment = {"DOE_REDIS_URL": redis.url, "DOE_LOG_FORMAT": "json"}
        options = ("--settings", str(settings), "--port", str(port))
        with served(scenario, *options, environment=environment) as where:
            assert where["mqtt"] == f"mqtt://127.0.0.1:{port}"
            assert ask(where, **an_order())["type"] == "accepted"
            ask(where, **an_order() | {"client_order_id": "a2", "quantity_w": 10**9})
            status, health = curl(where["metrics"] + "/health")
            assert (status, json.loads(health)["serves"]) == (200, True)
            deadline = time.monotonic() + 30
            # Queues and state are looked at ten times a second.
            while value_of(curl(where["metrics"] + "/metrics")[1], "doe_resting_orders") != 1:
                assert time.monotonic() < deadline
            _, metrics = curl(where["metrics"] + "/metrics")
            assert value_of(metrics, "doe_orders_total") == 1
            assert value_of(metrics, "doe_refusals_total") == 1
            assert value_of(metrics, "doe_commit_seconds_count") >= 2
            assert value_of(metrics, "doe_online") == 1
            assert value_of(metrics, "doe_open_intervals") >= 4
            assert curl(where["metrics"] + "/nope")[0] == 404
            redis.pause()
            try:
                deadline = time.monotonic() + 30
                while curl(where["metrics"] + "/health")[0] == 200:
                    assert time.monotonic() < deadline
            finally:
                redis.go_on()


def test_settings_that_are_wrong_are_named(
    scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text('mqtt_port = 70000\ncolour = "red"\n[loop]\ntick_s = 0\n')
    result = run("serve", scenario, "--settings", settings)
    assert result.exit_code == 2
    for words in ("mqtt_port", "found 70000", "colour: there is no such entry", "tick_s must be"):
        assert words in result.stderr
    settings.write_text("mqtt_port = ")
    assert "is not TOML" in run("serve", scenario, "--settings", settings).stderr
    monkeypatch.setenv("DOE_LOG_LEVEL", "loud")
    assert "log_level: it should be" in run("serve", scenario).stderr


def test_a_port_in_use_is_a_sentence(scenario: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for option, what in (("--port", "the embedded broker"), ("--metrics-port", "metrics")):
            result = run("serve", scenario, "--data", tmp_path / "d", option, port)
            assert result.exit_code == 2
            assert what in result.stderr
            assert f"127.0.0.1:{port}" in result.stderr


@pytest.mark.parametrize(("kept", "most"), [(1, 1), (50, 50), (1_999, 1_999), (9_000, 2_000)])
def test_a_broker_delivers_no_more_again_than_is_remembered(kept: int, most: int) -> None:
    settings = MqttSettings("127.0.0.1", 1883, "exchange")
    assert covered(settings, MarketRules(answers_kept=kept)).inflight_in == most


def test_intervals_without_a_name_follow_one_another(scenario: Path) -> None:
    sessions = list(due_sessions(load_scenario(scenario), NOON + timedelta(minutes=7)))
    starts = [session.start for session in sessions]
    assert starts == [NOON + k * timedelta(minutes=15) for k in range(1, 5)]
    assert all(session.gate_closes_at == session.start for session in sessions)
    assert last_gate(load_scenario(scenario)) is None


def test_named_intervals_open_and_close_by_the_clock(scenario: Path) -> None:
    scenario.write_text(
        f"{SCENARIO}[market]\nopening_minutes = 30\ngate_closure_minutes = 5\n"
        "[intervals]\nstart = 2026-07-01T12:00:00Z\ncount = 3\n"
    )
    loaded = load_scenario(scenario)

    def open_at(minutes: float) -> list[int]:
        moment = NOON + timedelta(minutes=minutes)
        return [session.start.minute for session in due_sessions(loaded, moment)]

    assert open_at(-31) == []
    assert open_at(-30) == [0]
    assert open_at(-10) == [0, 15]
    assert open_at(-5) == [15]
    assert open_at(26) == []
    assert last_gate(loaded) == NOON + timedelta(minutes=25)
