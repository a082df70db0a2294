"""The whole market day of ``make demo``, as its report tells it."""

from __future__ import annotations

from decimal import Decimal

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.demo.customers import CustomerKind
from gateway.demo.report import DemoReport


@pytest.mark.slow
def test_a_whole_market_day() -> None:
    result = CliRunner().invoke(app, ["demo", "--json"])
    assert result.exit_code == 0, result.stderr
    report = DemoReport.model_validate_json(result.stdout)

    assert (report.intervals, report.customers) == (96, 41)
    assert {group.kind for group in report.groups} == set(CustomerKind)
    assert report.trades > 500

    # Nothing that the network cannot carry was traded, and this was really looked for.
    assert report.adversary.trades_checked == report.trades
    assert report.adversary.vertices_tried > 100 * report.trades
    assert report.adversary.violations == 0, report.adversary.examples
    assert report.blocked > 0
    assert {"line:24", "interface"} <= {element.element for element in report.elements}
    assert all(element.highest_loading <= 1.0001 for element in report.elements)
    assert report.alarms == []

    # Trading helped those with needs, and the money adds up to the last unit.
    before = sum(row.beyond_before_kwh for row in report.unmet)
    after = sum(row.beyond_after_kwh for row in report.unmet)
    assert after < before / 2
    assert Decimal(report.welfare) > 0
    assert Decimal(report.paid) == Decimal(report.received) > 0
    assert sum(Decimal(account.balance) for account in report.accounts) == 0
    assert report.difference == "0"

    # The TSO took back 50 kW at noon and gave 30 kW in the evening, in the middle of trading.
    cuts = [update for update in report.updates if update.curtailed_w]
    raises = [update for update in report.updates if update.raised_w and not update.curtailed_w]
    assert [update.interval.hour for update in cuts] == [12] * 4
    assert [update.interval.hour for update in raises] == [19] * 4
    assert {"exceeds_holding", "gate_closed"} <= {refusal.reason for refusal in report.refusals}

    # The journal leads to the same state.
    assert report.journal_entries > report.orders
    assert report.digest == report.replayed_digest
