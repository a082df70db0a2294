"""What a contract at the interface may say."""

from __future__ import annotations

import math
from typing import Any

import pytest

from security_check.model.limits import InterfaceLimits


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf, -1, 0.5])
@pytest.mark.parametrize("name", ["injection_limit_w", "withdrawal_limit_w"])
def test_a_limit_that_is_no_whole_number_of_watts_is_refused(name: str, wrong: float) -> None:
    given: dict[str, Any] = {name: wrong}
    with pytest.raises(ValueError, match=rf"{name} is {wrong} W, it must be a whole number"):
        InterfaceLimits(0.98, 1.04, **given)


@pytest.mark.parametrize("right", [None, 0, 1, 250_000])
def test_whole_limits_and_none_are_kept(right: int | None) -> None:
    limits = InterfaceLimits(0.98, 1.04, right, right)
    assert (limits.injection_limit_w, limits.withdrawal_limit_w) == (right, right)
