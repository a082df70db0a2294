"""Token buckets, against an account of all the time that has passed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.service.rate_limiter import RateLimiter


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


STEPS = st.lists(
    st.tuples(st.sampled_from(["p0", "p1", "p2"]), st.sampled_from([0.0, 0.01, 0.3, 1.0, 50.0])),
    max_size=80,
)


@given(steps=STEPS, per_second=st.sampled_from([0.5, 2.0, 10.0]), burst=st.integers(1, 6))
def test_each_sender_has_a_bucket_that_fills_with_time(
    steps: list[tuple[str, float]], per_second: float, burst: int
) -> None:
    clock = Clock()
    limiter = RateLimiter(per_second, burst, clock)
    allowed: dict[str, list[float]] = {}
    for sender, pause in steps:
        clock.now += pause
        mine = allowed.setdefault(sender, [])
        # The bucket is full at first.  It holds what every window of time since then left in it:
        # the burst and the time of the window, less the messages let through in it.
        tokens = min(
            [float(burst)]
            + [
                burst + (clock.now - mine[k]) * per_second - (len(mine) - k)
                for k in range(len(mine))
            ]
        )
        if abs(tokens - 1.0) < 1e-6:
            clock.now += 1e-3  # at the edge rounding decides
            tokens += 1e-3 * per_second
        let_through = limiter.allows(sender)
        assert let_through == (tokens >= 1.0)
        if let_through:
            mine.append(clock.now)


def test_refusals_do_not_empty_the_bucket() -> None:
    clock = Clock()
    limiter = RateLimiter(1.0, 1, clock)
    assert limiter.allows("p0")
    for _ in range(40):
        clock.now += 0.02
        assert not limiter.allows("p0")
    clock.now += 0.21
    assert limiter.allows("p0")


def test_a_long_rest_earns_no_more_than_a_burst() -> None:
    clock = Clock()
    limiter = RateLimiter(10.0, 3, clock)
    clock.now += 1e6
    assert [limiter.allows("p0") for _ in range(5)] == [True] * 3 + [False] * 2


def test_what_was_charged_is_missing_until_it_is_filled() -> None:
    clock = Clock()
    limiter = RateLimiter(2.0, 10, clock)
    limiter.charge("p0", 12)
    clock.now += 1.4
    assert not limiter.allows("p0"), "12 of 10 tokens are gone, and 2.8 came"
    clock.now += 0.2
    assert limiter.allows("p0")
    assert limiter.allows("p1"), "each has a bucket of its own"


def test_no_more_is_missing_than_a_bucket_holds() -> None:
    clock = Clock()
    limiter = RateLimiter(2.0, 10, clock)
    for _ in range(9):
        limiter.charge("p0", 100)
    clock.now += 5.4
    assert not limiter.allows("p0")
    clock.now += 0.2
    assert limiter.allows("p0")
