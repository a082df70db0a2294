"""Random faults against mosquitto, Redis, an exchange and its standby while clients trade."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fault_campaign import Campaign
from sampling import SEED


@pytest.mark.slow
async def test_no_fault_loses_or_doubles_anything_or_makes_devices_insecure(tmp_path: Path) -> None:
    seed = int(os.environ.get(SEED, "0"))
    outcome = await Campaign(tmp_path, seed).run(60, within_s=8.0)
    assert not outcome.broken
    assert outcome.faults
    assert outcome.orders
    assert outcome.fills
