"""Which limits a device keeps to: never more than the exchange has confirmed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.client.mirrors.point_envelopes import LimitSource, PointEnvelopes

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
FALLBACK = {"injection_limit_w": 1, "withdrawal_limit_w": 2}


def text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def message(
    version: int, confirmed_s: float, limits_w: list[int], *, final: bool = True, **more: Any
) -> dict[str, Any]:
    """Quarter-hours from noon on, with these limits of injection; withdrawal has one more."""
    confirmed = NOON + timedelta(seconds=confirmed_s)
    return {
        "connection_point": "load:0",
        "version": version,
        "issued_at": text(NOON),
        "confirmed_at": text(confirmed),
        "holds_until": text(confirmed + timedelta(minutes=5)),
        "fallback": FALLBACK,
        "intervals": [
            {
                "start": text(NOON + timedelta(minutes=15 * k)),
                "end": text(NOON + timedelta(minutes=15 * (k + 1))),
                "injection_limit_w": limit_w,
                "withdrawal_limit_w": limit_w + 1,
                "injection_bottleneck": "line:1",
                "withdrawal_bottleneck": "line:1",
                "final": final,
            }
            for k, limit_w in enumerate(limits_w)
        ],
        **more,
    }


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def test_the_envelope_holds_while_it_is_confirmed() -> None:
    clock = Clock()
    device = PointEnvelopes("load:0", clock)
    with pytest.raises(LookupError, match="no envelope of load:0"):
        device.limits(NOON)
    assert device.take(message(1, 0, [50, 60]))
    now = device.limits(at(10))
    assert (now.injection_limit_w, now.withdrawal_limit_w) == (50, 51)
    assert (now.source, now.until) == (LimitSource.ENVELOPE, at(300))
    assert device.limits(at(-1)).source is LimitSource.NO_INTERVAL
    assert device.limits(at(-1)).until == NOON
    assert device.limits(at(300)).source is LimitSource.NOT_CONFIRMED
    clock.now_s = 240
    assert not device.take(message(1, 240, [50, 60])), "confirmed, and not changed"
    assert device.limits(at(400)).injection_limit_w == 50
    assert not device.take(message(1, 800, [50, 60]))
    assert device.limits(at(900)).injection_limit_w == 60
    assert device.limits(at(900)).until == at(1100)


def test_an_envelope_that_may_still_be_sold_is_not_kept_to() -> None:
    device = PointEnvelopes("load:0", Clock())
    device.take(message(1, 0, [50], final=False))
    assert device.limits(at(10)).source is LimitSource.NOT_FINAL
    assert device.limits(at(10)).injection_limit_w == FALLBACK["injection_limit_w"]
    device.take(message(2, 10, [40]))
    assert device.limits(at(10)).source is LimitSource.ENVELOPE


def test_a_wall_clock_that_is_wrong_prolongs_nothing() -> None:
    clock = Clock()
    device = PointEnvelopes("load:0", clock)
    device.take(message(1, 0, [50]))
    clock.now_s = 301
    assert device.limits(at(10)).source is LimitSource.NOT_CONFIRMED, "the clock stepped back"
    assert not device.take(message(1, 0, [50])), "what a broker kept is no confirmation"
    assert device.limits(at(10)).source is LimitSource.NOT_CONFIRMED


def test_another_exchange_counts_from_the_beginning_once_the_old_word_is_over() -> None:
    device = PointEnvelopes("load:0", Clock())
    device.take(message(9, 0, [50]))
    assert not device.take(message(1, 299, [70]))
    assert device.limits(at(10)).injection_limit_w == 50
    assert device.take(message(1, 300, [70]))
    assert device.limits(at(310)).injection_limit_w == 70


def test_what_is_no_envelope_changes_nothing_and_new_keys_do_not_matter() -> None:
    device = PointEnvelopes("load:0", Clock())
    device.take(message(1, 0, [50]))
    newer = message(2, 0, [60])
    for faulty in (
        {},
        newer | {"connection_point": "load:1"},
        newer | {"holds_until": None},
        {key: value for key, value in newer.items() if key != "fallback"},
    ):
        with pytest.raises(ValueError, match=r"."):
            device.take(faulty)
    assert device.limits(at(1)).injection_limit_w == 50
    newer["intervals"][0]["colour"] = "red"
    assert device.take(newer | {"more": {}})
    assert device.limits(at(1)).injection_limit_w == 60


@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.integers(0, 9), st.integers(3, 9)), min_size=1, max_size=8
    ),
    st.integers(0, 20),
    st.randoms(use_true_random=False),
)
def test_the_newest_word_counts_in_whatever_order_it_comes(
    said: list[tuple[int, int, int]], now_min: int, chance: Any
) -> None:
    """An oracle that knows them all: the highest version, confirmed last."""
    limits = {version: limit_w for version, _, limit_w in said}
    words = [(version, 60.0 * minute + version / 10) for version, minute, _ in said]
    words = [word for word in words if not any(_earlier(word, each) for each in words)]
    chance.shuffle(words)
    device = PointEnvelopes("load:0", Clock())
    for version, confirmed_s in words:
        device.take(message(version, confirmed_s, [limits[version]] * 2))
    version, confirmed_s = max(words)
    now = device.limits(at(60 * now_min))
    holds = 60 * now_min < confirmed_s + 300
    assert now.injection_limit_w == (limits[version] if holds else 1)


def _earlier(word: tuple[int, float], each: tuple[int, float]) -> bool:
    """Whether a later version was confirmed before this word: then this is not said."""
    return each[0] > word[0] and each[1] <= word[1]
