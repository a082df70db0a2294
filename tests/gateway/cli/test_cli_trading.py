"""``trade`` and ``watch`` as programs, at an exchange that is one, too."""

from __future__ import annotations

import asyncio
import doctest
import os
import pkgutil
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from command_line import run
from project import ROOT
from running_exchange import PROGRAM, running_exchange

from doe_exchange import client
from doe_exchange.client import DsoClient, MarketClient, MeterClient, TradingClient, TsoClient
from gateway.client import mirrors
from gateway.console.broker_options import broker_settings
from gateway.formats.faults import InputFaults

_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
TUTORIAL = ROOT / "docs" / "client.md"
ACCOUNTS = """
bakery = "flour"
watcher = {role = "observer", password = "eyes"}
tso = "volt"
operator = "switch"
metering = "count"
[mill]
password = "stone"
devices = {phone = "call"}
"""


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("exchange")
    accounts = folder / "accounts.toml"
    accounts.write_text(ACCOUNTS)
    accounts.chmod(0o600)
    with running_exchange(folder, "--accounts", str(accounts)) as where:
        yield where


@contextmanager
def program(
    where: dict[str, Any], *arguments: str, password: str
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        # A shell that runs the tests in the background has Ctrl-C ignored.
        ["env", "--default-signal=INT", PROGRAM, *arguments, "--broker", where["mqtt"]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"COLUMNS": "120", "DOE_MQTT_PASSWORD": password},
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


FIRST = """\
# Two orders of which one trades with the mill's.
positions
sell load:1 injection 1000 0.05
sell load:1 injection 300 0.09
buy load:0 injection 10 0.01
dance
orders
book injection
cancel 2
"""
THEN = """\
wait 0.5
statement
cancel all
"""


def said_until(process: subprocess.Popen[str], lines: str, words: str) -> str:
    """Return what a program says to lines, until it says these words."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(lines)
    process.stdin.flush()
    text = ""
    while words not in text:
        line = process.stdout.readline()
        assert line, f"it ended after {text}"
        text += line
    return text


@pytest.mark.slow
def test_a_script_trades_and_a_watcher_sees_it(exchange: dict[str, Any]) -> None:
    with (
        program(exchange, "watch", "north", "--user", "watcher", password="eyes") as watcher,
        program(exchange, "trade", "north", "--user", "bakery", password="flour") as bakery,
        program(exchange, "trade", "north", "--user", "mill/phone", password="call") as mill,
    ):
        seen = said_until(watcher, "", "exchange online: ")
        text = said_until(bakery, FIRST, "cancelled, requested, ")
        seen += said_until(watcher, "", "offered 1,000 W at 0.0500")
        bought, told = mill.communicate("buy load:0 injection 400 0.06\nwait 0.5\norders\n", 60)
        assert (mill.returncode, told) == (0, "")
        assert "order 3: buy 400 W of load:0 injection" in bought
        assert "order 3 bought 400 W at 0.0500 EUR/kW, 0.0200000 EUR" in bought
        rest, errors = bakery.communicate(THEN, timeout=60)
        assert bakery.returncode == 1, "two lines were refused"
        text += rest
        for words in ("traded 400 W of injection at 0.0500", "price of injection "):
            if words not in seen:
                seen += said_until(watcher, "", words)
        watcher.send_signal(signal.SIGINT)
        more, complaints = watcher.communicate(timeout=20)
        seen += more
        assert (watcher.returncode, complaints) == (0, "")
    assert text.startswith("exchange online: ")
    for words in (
        "order 1: sell 1,000 W of load:1 injection at 0.0500",
        "order 1 sold 400 W at 0.0500 EUR/kW, -0.0200000 EUR",
        "1 order cancelled",
        "cancelled, mass_cancel, 600 W left",
        "0.0200000",
    ):
        assert words in text, words
    assert "error: refused, not_owner: " in errors
    assert "error: there is no command 'dance'" in errors
    for words in (
        "exchange online: ",
        "traded 400 W of injection at 0.0500",
        "offered 1,000 W at 0.0500",
        "envelope of load:1 ",
        "price of injection ",
    ):
        assert words in seen, words
    assert not any(word in text + seen + bought for word in ("flour", "eyes", "call"))


@pytest.mark.slow
def test_who_may_not_trade_is_told_so(
    exchange: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for user, password, area, words in (
        ("bakery", "wrong", "north", "refused the connection"),
        ("watcher", "eyes", "north", "refused the subscription to doe/v1/north/report/watcher"),
        ("bakery", "flour", "south", "refused the subscription to doe/v1/south/report/bakery"),
    ):
        monkeypatch.setenv("DOE_MQTT_PASSWORD", password)
        result = run("trade", area, "--user", user, "--broker", exchange["mqtt"])
        assert (result.exit_code, result.stdout) == (2, ""), result.stderr
        assert words in " ".join(result.stderr.split())


@pytest.mark.slow
def test_the_tutorial_of_the_client_library_runs(exchange: dict[str, Any]) -> None:
    text = TUTORIAL.read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 6
    names = {"BROKER": exchange["mqtt"].removeprefix("mqtt://")}
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(optionflags=_FLAGS)
    example = parser.get_doctest("\n".join(blocks), names, TUTORIAL.name, str(TUTORIAL), 0)
    assert runner.run(example).failed == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("of", "account"),
    [
        (TradingClient, "bakery:flour"),
        (DsoClient, "operator:switch"),
        (TsoClient, "tso:volt"),
        (MeterClient, "metering:count"),
        (MarketClient, "watcher:eyes"),
    ],
)
def test_the_example_of_a_client_runs(exchange: dict[str, Any], of: Any, account: str) -> None:
    broker = exchange["mqtt"].replace("mqtt://", f"mqtt://{account}@")
    names = vars(client) | {"asyncio": asyncio, "broker": broker}
    runner = doctest.DocTestRunner(optionflags=_FLAGS)
    tests = doctest.DocTestFinder(exclude_empty=True, recurse=False).find(of, globs=names)
    assert sum(len(test.examples) for test in tests) >= 2
    for test in tests:
        assert runner.run(test).failed == 0


@pytest.mark.parametrize(
    "module",
    [each.name for each in pkgutil.walk_packages(mirrors.__path__, f"{mirrors.__name__}.")],
)
def test_examples_of_mirrors_run(module: str) -> None:
    assert doctest.testmod(import_module(module), optionflags=_FLAGS).failed == 0


def test_the_library_is_imported_by_itself_and_has_what_it_names() -> None:
    text = "import sys, doe_exchange; print('doe_exchange.client' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert shown.stdout == "False\n"
    assert sorted(client.__all__) == client.__all__
    assert all(hasattr(client, name) for name in client.__all__)


@pytest.mark.parametrize("command", ["trade", "watch"])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["north"], "no broker is named"),
        (["north", "--broker", "broker"], "must look like mqtt[s]://"),
        (["no/rth", "--broker", "mqtt://127.0.0.1:1"], "may not stand in a topic"),
        (["north", "--broker", "mqtt://127.0.0.1:1", "--password-file", "/none"], "/none: no such"),
        (["north", "--broker", "mqtt://:s3cret@127.0.0.1:1"], "a password, and no user"),
    ],
)
def test_a_connection_that_is_none_is_a_sentence(
    command: str, arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOE_MQTT_URL", raising=False)
    result = run(command, *arguments)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
    assert "s3cret" not in result.output + result.stderr


def test_passwords_come_from_file_environment_or_url_in_this_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOE_MQTT_PASSWORD", raising=False)
    monkeypatch.setenv("DOE_MQTT_URL", "mqtt://bakery:url@127.0.0.1:1")
    file = tmp_path / "password"
    file.write_text("file\nmore\n")
    assert broker_settings(None, None, None).password == "url"
    monkeypatch.setenv("DOE_MQTT_PASSWORD", "environment")
    assert broker_settings(None, None, None).password == "environment"
    found = broker_settings("mqtts://other.example", "mill/phone", file)
    assert (found.password, found.username, found.port) == ("file", "mill/phone", 8883)
    assert found.client_id.startswith("mill/phone/")
    assert found.session_expiry_s == 0
    assert "file" not in repr(found)
    file.write_text("\n")
    with pytest.raises(InputFaults, match="the first line of"):
        broker_settings(None, None, file)
