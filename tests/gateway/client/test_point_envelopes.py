"""Which limits a device keeps to: never more than the exchange has confirmed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.client.area_view import AreaView
from gateway.client.mirrors.point_envelopes import LimitSource, PointEnvelopes
from gateway.messages.topics import Topics

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
FALLBACK = {"injection_limit_w": 1, "withdrawal_limit_w": 2}


def text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def message(
    version: int, confirmed_s: float, limit_w: int, quarter: int = 0, **more: Any
) -> dict[str, Any]:
    """A quarter-hour after noon with this limit of injection; that of withdrawal has one more."""
    confirmed = NOON + timedelta(seconds=confirmed_s)
    return {
        "connection_point": "load:0",
        "start": text(at(900 * quarter)),
        "end": text(at(900 * (quarter + 1))),
        "injection_limit_w": limit_w,
        "withdrawal_limit_w": limit_w + 1,
        "injection_bottleneck": "line:1",
        "withdrawal_bottleneck": "line:1",
        "final": True,
        "version": version,
        "issued_at": text(NOON),
        "confirmed_at": text(confirmed),
        "holds_until": text(confirmed + timedelta(minutes=5)),
        "fallback": FALLBACK,
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
    assert device.take(message(1, 0, 50))
    assert device.take(message(2, 0, 60, 1))
    now = device.limits(at(10))
    assert (now.injection_limit_w, now.withdrawal_limit_w) == (50, 51)
    assert (now.source, now.until) == (LimitSource.ENVELOPE, at(300))
    assert device.limits(at(-1)).source is LimitSource.NO_INTERVAL
    assert device.limits(at(-1)).until == NOON
    assert device.limits(at(300)).source is LimitSource.NOT_CONFIRMED
    clock.now_s = 240
    assert not device.take(message(1, 240, 50)), "confirmed, and not changed"
    assert device.limits(at(400)).injection_limit_w == 50
    assert not device.take(message(1, 800, 50))
    assert device.limits(at(899)).until == at(900), "the interval ends"
    assert device.limits(at(900)).source is LimitSource.NOT_CONFIRMED, "each by itself"
    assert not device.take(message(2, 800, 60, 1))
    assert device.limits(at(900)).injection_limit_w == 60
    assert device.limits(at(900)).until == at(1100)


def test_an_envelope_that_may_still_be_sold_is_not_kept_to() -> None:
    device = PointEnvelopes("load:0", Clock())
    device.take(message(1, 0, 50, final=False))
    assert device.limits(at(10)).source is LimitSource.NOT_FINAL
    assert device.limits(at(10)).injection_limit_w == FALLBACK["injection_limit_w"]
    assert device.take(message(2, 10, 50)), "these limits count from now on"
    assert device.limits(at(10)).source is LimitSource.ENVELOPE


def test_an_interval_that_is_over_is_forgotten() -> None:
    """It is removed, or, where that was missed, over when another one is confirmed."""
    device = PointEnvelopes("load:0", Clock())
    assert not device.remove(NOON)
    for quarter in range(3):
        device.take(message(1 + quarter, 0, 50, quarter))
    assert [each.version for each in device.intervals] == [1, 2, 3]
    assert device.envelope(at(900)) == device.intervals[1]
    assert device.remove(at(900))
    assert device.envelope(at(900)) is None
    assert (device.limits(at(1000)).source, device.limits(at(1000)).until) == (
        LimitSource.NO_INTERVAL,
        at(1800),
    )
    device.take(message(3, 899, 50, 2))
    assert [each.version for each in device.intervals] == [1, 3]
    device.take(message(3, 900, 50, 2))
    assert [each.version for each in device.intervals] == [3]
    assert device.remove(at(1800))
    fallback = device.limits(at(1000))
    assert (fallback.injection_limit_w, fallback.source) == (1, LimitSource.NO_INTERVAL)


async def test_a_view_tells_whose_limits_change() -> None:
    """A removed envelope does; one that is confirmed, or was never heard of, does not."""
    view, topics = AreaView("north"), Topics("north")
    changes = view.envelope_changes()
    said = [message(1, 0, 50), message(1, 60, 50), message(2, 60, 60, 1), None, None]
    for content, start in zip(said, [NOON, NOON, at(900), at(1800), NOON], strict=True):
        view._hear(topics.envelope("load:0", start), content)
    view._hear(topics.envelope("load:9", NOON), None)
    view._close()
    told = [each.connection_point async for each in changes]
    assert told == ["load:0"] * 3
    assert [each.version for each in view.envelopes["load:0"].intervals] == [2]
    assert view.limits_now("load:0", at(10)).source is LimitSource.NO_INTERVAL


def test_a_wall_clock_that_is_wrong_prolongs_nothing() -> None:
    clock = Clock()
    device = PointEnvelopes("load:0", clock)
    device.take(message(1, 0, 50))
    clock.now_s = 301
    assert device.limits(at(10)).source is LimitSource.NOT_CONFIRMED, "the clock stepped back"
    assert not device.take(message(1, 0, 50)), "what a broker kept is no confirmation"
    assert device.limits(at(10)).source is LimitSource.NOT_CONFIRMED
    device.take(message(2, 301, 60, 1))
    assert device.limits(at(10)).source is LimitSource.NOT_CONFIRMED, "nor is another interval's"


def test_another_exchange_counts_from_the_beginning_once_the_old_word_is_over() -> None:
    device = PointEnvelopes("load:0", Clock())
    device.take(message(9, 0, 50))
    assert not device.take(message(1, 299, 70))
    assert device.limits(at(10)).injection_limit_w == 50
    assert device.take(message(1, 300, 70))
    assert device.limits(at(310)).injection_limit_w == 70


def test_what_is_no_envelope_changes_nothing_and_new_keys_do_not_matter() -> None:
    device = PointEnvelopes("load:0", Clock())
    device.take(message(1, 0, 50))
    newer = message(2, 0, 60)
    for faulty in (
        {},
        newer | {"connection_point": "load:1"},
        newer | {"holds_until": None},
        {key: value for key, value in newer.items() if key != "fallback"},
    ):
        with pytest.raises(ValueError, match=r"."):
            device.take(faulty)
    assert device.limits(at(1)).injection_limit_w == 50
    newer["fallback"] = FALLBACK | {"colour": "red"}
    assert device.take(newer | {"more": {}})
    assert device.limits(at(1)).injection_limit_w == 60


SAID = st.tuples(st.integers(0, 1), st.integers(1, 4), st.integers(0, 9), st.integers(3, 9))


@given(st.lists(SAID, min_size=1, max_size=12), st.integers(0, 30), st.data())
def test_the_newest_word_of_each_interval_counts_in_whatever_order_they_come(
    said: list[tuple[int, int, int, int]], now_min: int, data: st.DataObject
) -> None:
    """An oracle that knows them all: the highest version, confirmed last."""
    limits = {(quarter, version): limit_w for quarter, version, _, limit_w in said}
    words = [
        (quarter, version, 60.0 * minute + version / 10) for quarter, version, minute, _ in said
    ]
    words = [word for word in words if not any(_earlier(word, each) for each in words)]
    device = PointEnvelopes("load:0", Clock())
    for quarter, version, confirmed_s in data.draw(st.permutations(words)):
        device.take(message(version, confirmed_s, limits[quarter, version], quarter))
    now = device.limits(at(60 * now_min))
    of_now = [word for word in words if word[0] == now_min // 15]
    if not of_now:
        assert (now.injection_limit_w, now.source) == (1, LimitSource.NO_INTERVAL)
        return
    quarter, version, confirmed_s = max(of_now)
    holds = 60 * now_min < confirmed_s + 300
    assert now.injection_limit_w == (limits[quarter, version] if holds else 1)


def _earlier(word: tuple[int, int, float], each: tuple[int, int, float]) -> bool:
    """Whether a later version was confirmed before this word: then this is not said."""
    return each[0] == word[0] and each[1] > word[1] and each[2] <= word[2]
