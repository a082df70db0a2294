"""Waiting messages: each sender in turn, bounds for all, and one report for many refusals."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gateway.messages.topics import Topics
from gateway.ports import Incoming
from gateway.service.inbox import Inbox
from gateway.service.settings import ServiceSettings

TOPICS = Topics("north")
PLACES = {
    "p0": TOPICS.order("p0"),
    "p1": TOPICS.order("p1"),
    "mallory": TOPICS.order("mallory"),
    "eve": TOPICS.order("eve"),
    "tso": TOPICS.interface_limits,
    "operator": TOPICS.control,
    "metering": TOPICS.meter("load:0"),
}
SETTINGS = ServiceSettings(
    messages_per_second=2.0,
    burst=5,
    readings_per_second=4.0,
    reading_burst=8,
    waiting_messages=30,
)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def inbox(clock: Clock) -> Inbox:
    return Inbox(TOPICS, ["p0", "p1"], SETTINGS, clock)


def of(sender: str, number: int = 0) -> Incoming:
    return Incoming(PLACES[sender], b"not read here", number)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(sorted(PLACES)), st.integers(1, 20)),
        st.tuples(st.just("take"), st.just(""), st.integers(1, 10)),
        st.tuples(st.just("wait"), st.just(""), st.sampled_from([0, 1, 3])),
    ),
    max_size=60,
)


@given(STEPS)
def test_every_message_is_taken_or_counted_and_no_bound_is_broken(
    steps: list[tuple[str, str, int]],
) -> None:
    clock = Clock()
    box = inbox(clock)
    sent, taken, refused = Counter[str](), Counter[str](), Counter[str]()
    order: dict[str, list[int]] = {}
    number = 0
    for what, sender, count in steps:
        if what == "wait":
            clock.now += count
        elif what == "put":
            for _ in range(count):
                number += 1
                sent[sender] += 1
                refused[sender] += len(box.put([of(sender, number)]))
        else:
            for _ in range(count):
                found = box.take()
                if found is not None:
                    taken[found[0]] += 1
                    assert found[1].topic == PLACES[found[0]]
                    order.setdefault(found[0], []).append(found[1].message_id)
        waiting = sent - taken - refused
        assert waiting.total() == len(box) <= SETTINGS.waiting_messages
        assert all(waiting[each] <= SETTINGS.burst for each in ("p0", "p1", "tso", "operator"))
        assert waiting["mallory"] + waiting["eve"] <= SETTINGS.burst
        assert waiting["metering"] <= SETTINGS.reading_burst
    assert all(numbers == sorted(numbers) for numbers in order.values())
    for sender in PLACES:
        rate, burst = (4.0, 8) if sender == "metering" else (2.0, 5)
        assert sent[sender] - refused[sender] <= burst + rate * (clock.now - 100.0)


def test_a_flood_delays_others_by_one_message_each() -> None:
    box = inbox(Clock())
    box.put([of("p0", k) for k in range(1_000)])
    box.put([of("p1", 1), of("tso", 2), of("p1", 3)])
    found = [box.take() for _ in range(9)]
    senders = [each[0] for each in found if each is not None]
    assert senders == ["p0", "p1", "tso", "p0", "p1", "p0", "p0", "p0"]


def test_one_report_a_second_counts_all_refusals_of_a_sender() -> None:
    clock = Clock()
    box = inbox(clock)
    box.put([of("p0") for _ in range(50)] + [of("tso") for _ in range(7)])
    box.put([of("mallory") for _ in range(50)])
    reports = {each.participant: each for each in box.refusals()}
    assert set(reports) == {"p0", "tso"}, "a stranger has no right to reports"
    assert reports["p0"].reason == "too_frequent"
    assert reports["p0"].detail.startswith("45 messages came too fast and were not read")
    assert reports["tso"].detail.startswith("2 messages")
    box.put([of("p0") for _ in range(10)])
    assert box.refusals() == []
    clock.now += 0.9
    box.put([of("p0") for _ in range(10)])
    assert box.refusals() == []
    clock.now += 0.2
    (report,) = box.refusals()
    assert report.detail.startswith("20 messages")


def test_probes_and_unknown_topics_wait_for_nothing() -> None:
    box = inbox(Clock())
    messages = [Incoming(TOPICS.probe, b""), Incoming("doe/v1/south/order/p0", b""), of("p0")]
    assert box.put(messages) == messages[:2]
    assert len(box) == 1
    assert box.refusals() == []


def test_a_few_last_wills_are_taken_beyond_the_rate() -> None:
    """Whoever floods and dies is guarded, too; and it is no way around the rate."""
    clock = Clock()
    box = inbox(clock)
    will = b'{"type": "disconnected", "session": "s1"}'
    box.put([of("p0", k) for k in range(100)])
    assert box.put([Incoming(PLACES["p0"], will, 100)]) == []
    found = [box.take() for _ in range(6)]
    numbers = [each[1].message_id for each in found if each is not None]
    assert numbers == [0, 1, 2, 3, 4, 100], "behind what came before"
    most = [Incoming(PLACES["p0"], will, k) for k in range(50)]
    assert len(box.put(most)) == 50 - 7
    clock.now += 3  # six messages at the usual rate, of which five at once, and three wills
    box.put([of("p0") for _ in range(50)])
    assert len(box.put(most)) == 50 - 3
    for sender in ("mallory", "operator"):
        box.put([of(sender) for _ in range(50)])
        assert len(box.put([Incoming(PLACES[sender], will)])) == 1, sender
    long = will + b" " * 300
    assert len(box.put([Incoming(PLACES["p0"], long)])) == 1
