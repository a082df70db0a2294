"""Units of money, and terms that make sense."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from linear_grid import LinearGrid

from exchange.engine import Exchange
from exchange.vocabulary.rules import ConnectionTerms, MarketRules


def test_money_is_exact():
    rules = MarketRules(tick=Decimal("0.0001"))
    # 450 ticks are 0.0450 EUR per kW; 500 W at that price cost 0.0225 EUR.
    assert rules.price_in_eur_per_kw(450) == Decimal("0.0450")
    assert rules.amount_in_eur(450 * 500) == Decimal("0.0225")
    assert str(rules.amount_in_eur(1)) == "1E-7"
    assert rules.amount_in_eur(-(10**18) - 1) == Decimal("-100000000000.0000001")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"tick": Decimal(0)}, "tick must be positive, it is 0"),
        ({"lot_w": 0}, "lot_w must be positive, it is 0"),
        ({"answers_kept": 0}, "answers_kept must be positive, it is 0"),
        ({"lot_w": 100, "max_quantity_w": 50}, "max_quantity_w is 50 W, less than a lot of 100 W"),
        ({"intervals_kept_for": timedelta(-1)}, "intervals_kept_for is -1 day, 0:00:00"),
    ],
)
def test_rules_that_make_no_sense(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        MarketRules(**wrong)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (("load:0", "p0", 5, 5, 6, 0), "load:0: injection fallback is 6 W, it must lie in 0 to"),
        (("load:0", "p0", 5, 5, 0, -1), "load:0: withdrawal fallback is -1 W"),
        (("load:0", "tso", 5, 5), "load:0: 'tso' cannot be a participant's name"),
        (("load:0", "exchange", 5, 5), "load:0: 'exchange' cannot be a participant's name"),
        (("load:0", "", 5, 5), "load:0: '' cannot be a participant's name"),
    ],
)
def test_terms_that_make_no_sense(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        ConnectionTerms(*wrong)


def test_every_connection_point_has_terms_and_the_other_way_round():
    terms = [ConnectionTerms(f"load:{i}", "p", 5, 5) for i in (0, 2)]
    with pytest.raises(ValueError, match="but not both: load:1, load:2"):
        Exchange(LinearGrid([5, 5]), MarketRules(), terms)
