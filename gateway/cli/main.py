"""The command line: ``doe-exchange COMMAND``.

Each module of this room has commands of one subject; ``--help`` lists them in the order below.
"""

from __future__ import annotations

from gateway.cli import (
    access,
    coordination,
    envelopes,
    fairness,
    flex_market,
    hierarchy,
    market,
    operator_outputs,
    plot,
    procurement,
    reconfiguration,
    serving,
    trading,
)
from gateway.cli.app import app

__all__ = ["COMMAND_MODULES", "app", "main"]

COMMAND_MODULES = (
    envelopes,
    fairness,
    hierarchy,
    market,
    serving,
    access,
    trading,
    operator_outputs,
    plot,
    procurement,
    flex_market,
    coordination,
    reconfiguration,
)
"""The modules whose commands have registered themselves with the application."""


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
