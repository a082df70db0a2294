"""The command line: ``doe-exchange COMMAND``.

Its commands are in modules by concept; ``--help`` lists them in the order of the imports.
"""

from __future__ import annotations

from gateway import (
    cli_envelopes,
    cli_fairness,
    cli_hierarchy,
    cli_market,
    cli_outputs,
    cli_plot,
    cli_topology,
)
from gateway.cli_app import app

__all__ = [
    "app",
    "cli_envelopes",
    "cli_fairness",
    "cli_hierarchy",
    "cli_market",
    "cli_outputs",
    "cli_plot",
    "cli_topology",
    "main",
]


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
