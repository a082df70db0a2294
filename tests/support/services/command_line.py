"""The commands, run in this process."""

from __future__ import annotations

from typing import Any

from typer.testing import CliRunner, Result

from gateway.cli.main import app


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])
