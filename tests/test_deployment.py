"""Files in ``deploy``: their commands, options, settings and paths are those of the program."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from gateway.cli.main import app
from gateway.operations.mosquitto_access import configuration
from gateway.operations.serve_settings import ServeSettings

DEPLOY = Path(__file__).parents[1] / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def check_command(words: list[str]) -> None:
    """Check that the program would parse these words; paths need not exist here."""
    commands: Any = get_command(app)
    command = commands.commands[words[0]]
    known = {option for each in command.params for option in each.opts}
    given = {word for word in words if word.startswith("--")}
    assert given <= known


def check_settings(names: set[str]) -> None:
    known = {f"DOE_{name.upper()}" for name in ServeSettings.model_fields}
    assert names <= known
    assert names, "some settings are given"


def words_of(command: str) -> list[str]:
    """Return the words of a command, also where a shell finds the scenarios for it."""
    words = shlex.split(command)
    if words[:2] == ["/bin/sh", "-c"]:
        words = words[2:]
    if len(words) == 1:
        (command,) = words
        assert command.startswith("exec "), "signals reach the program"
        words = shlex.split(command)[1:]
    assert Path(words[0]).name == "doe-exchange"
    return words[1:]


@pytest.mark.parametrize("name", ["exchange", "second"])
def test_compose_starts_the_exchange_with_options_that_exist(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["entrypoint"] == ["/bin/sh", "-c"]
    words = words_of(service["command"])
    check_command(words)
    assert "--standby" in words
    (place,) = [word for word in words if word.endswith("*.toml")]
    assert f"./areas:{Path(place).parent}:ro" in service["volumes"]
    check_settings(set(service["environment"]))
    target = words[words.index("--data") + 1]
    assert any(target.startswith(volume.partition(":")[2]) for volume in service["volumes"])


def test_processes_have_folders_of_their_own() -> None:
    first, second = (COMPOSE["services"][name]["volumes"] for name in ("exchange", "second"))
    assert first[-1] != second[-1]


def test_the_redis_of_compose_loses_nothing() -> None:
    words = shlex.split(COMPOSE["services"]["redis"]["command"])
    options = dict(zip(words[1::2], words[2::2], strict=True))
    assert options == {
        "--appendonly": "yes",
        "--appendfsync": "always",
        "--maxmemory-policy": "noeviction",
        "--no-appendfsync-on-rewrite": "no",
    }


def test_the_broker_finds_the_files_that_access_writes() -> None:
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    found = re.search(r"--place (\S+)", text)
    assert found is not None
    (volume,) = COMPOSE["services"]["broker"]["volumes"]
    assert volume == f"./broker:{found[1]}:ro"
    assert f"acl_file {found[1]}/acl" in configuration(found[1], 1883)
    assert COMPOSE["services"]["exchange"]["env_file"] == "./broker/exchange.env"


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_unit_starts_the_exchange_with_options_that_exist(path: Path) -> None:
    unit = path.read_text(encoding="utf-8")
    line = next(each for each in unit.splitlines() if each.startswith("ExecStart="))
    words = words_of(line.removeprefix("ExecStart="))
    check_command(words)
    check_settings(set(re.findall(r"^Environment=(\w+)=", unit, re.MULTILINE)))
    folder = Path(words[words.index("--data") + 1])
    assert f"StateDirectory={folder.relative_to('/var/lib')}\n" in unit
    assert "--standby" in words


def test_there_is_a_unit_for_one_area_and_one_for_all() -> None:
    assert [path.stem for path in UNITS] == ["doe-exchange-areas", "doe-exchange@"]


def test_the_image_runs_the_program_as_an_account_of_its_own() -> None:
    image = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert 'ENTRYPOINT ["doe-exchange"]' in image
    assert image.index("USER doe") < image.index("ENTRYPOINT")
