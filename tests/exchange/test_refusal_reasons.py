"""Every refusal reason is tested somewhere, and sentences name the numbers."""

from __future__ import annotations

import pathlib

import pytest

from exchange.reasons import RefusalReason

TESTS = pathlib.Path(__file__).parent.parent


@pytest.fixture(scope="module")
def sources() -> str:
    own = pathlib.Path(__file__).name
    return "\n".join(
        path.read_text() for path in sorted(TESTS.rglob("test_*.py")) if path.name != own
    )


@pytest.mark.parametrize("reason", RefusalReason, ids=str)
def test_each_reason_is_expected_by_some_test(reason, sources):
    assert f'"{reason.value}"' in sources or f"RefusalReason.{reason.name}" in sources
