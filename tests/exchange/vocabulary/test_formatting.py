from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from exchange.vocabulary.formatting import format_eur, format_time


def test_times_are_utc_and_end_in_z():
    noon = datetime(2030, 6, 1, 12, tzinfo=UTC)
    assert format_time(noon) == "2030-06-01T12:00:00Z"
    assert format_time(noon.astimezone(timezone(timedelta(hours=2)))) == "2030-06-01T12:00:00Z"


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0.0100", "0.01"),
        ("0E-7", "0"),
        ("-0.50", "-0.5"),
        ("-1.0000", "-1"),
        ("1200", "1200"),
        ("1E+3", "1000"),
    ],
)
def test_amounts_are_plain_and_exact(amount, text):
    assert format_eur(Decimal(amount)) == text
