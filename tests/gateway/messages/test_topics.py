from __future__ import annotations

from collections.abc import Callable

import pytest
from gateway_market import START
from hypothesis import given
from hypothesis import strategies as st

from exchange.vocabulary.rules import METERING, OPERATOR, TSO
from gateway.formats.identifiers import is_identifier
from gateway.messages.topics import Topics, covers
from security_check.model.envelope import Direction

TOPICS = Topics("north")
BAD_IDS = ["", "+", "#", "a/b", "a+", "#a", "a b", "a\tb", "a\x00", "a\x7f", "\u200b", "\ud800"]


@pytest.mark.parametrize("identifier", [*BAD_IDS, "a" * 129])
def test_what_may_not_stand_in_a_topic(identifier: str) -> None:
    assert not is_identifier(identifier)
    makers: list[Callable[[str], object]] = [
        *(lambda point: TOPICS.envelope(point, START), TOPICS.envelopes),
        *(TOPICS.order, TOPICS.report, TOPICS.meter, Topics),
        *(TOPICS.query, TOPICS.answer),
    ]
    for make in makers:
        if identifier == "+" and make in (TOPICS.order, TOPICS.meter, TOPICS.query):
            continue  # the filters
        with pytest.raises(ValueError, match="may not stand in a topic"):
            make(identifier)
    assert TOPICS.sender(f"doe/v1/north/order/{identifier}") is None
    assert TOPICS.sender(f"doe/v1/north/meter/{identifier}") is None
    assert TOPICS.sender(f"doe/v1/north/query/{identifier}") is None
    assert not TOPICS.asks(f"doe/v1/north/query/{identifier}")


def test_names_are_those_of_the_protocol() -> None:
    assert TOPICS.interface_limits == "doe/v1/north/interface/limits"
    assert TOPICS.envelope("load:0", START) == ("doe/v1/north/envelope/load:0/20960601T120000Z")
    assert TOPICS.envelopes("load:0") == "doe/v1/north/envelope/load:0/+"
    assert TOPICS.order("p1") == "doe/v1/north/order/p1"
    assert TOPICS.report("p1") == "doe/v1/north/report/p1"
    assert TOPICS.query("p1") == "doe/v1/north/query/p1"
    assert TOPICS.answer("tso") == "doe/v1/north/answer/tso"
    assert TOPICS.book(Direction.INJECTION, START) == (
        "doe/v1/north/book/injection/20960601T120000Z"
    )
    assert TOPICS.statistics(Direction.WITHDRAWAL, START) == (
        "doe/v1/north/statistics/withdrawal/20960601T120000Z"
    )
    assert TOPICS.price(START) == "doe/v1/north/price/20960601T120000Z"
    assert TOPICS.trade == "doe/v1/north/trade"
    assert TOPICS.flexibility_trade == "doe/v1/north/flexibility/trade"
    assert TOPICS.flexibility_book(START) == "doe/v1/north/flexibility/book/20960601T120000Z"
    assert TOPICS.session == "doe/v1/north/session"
    assert TOPICS.meter("load:0") == "doe/v1/north/meter/load:0"


@given(st.text(max_size=20))
def test_sender_is_who_the_topic_was_made_for(name: str) -> None:
    if not is_identifier(name):
        return
    if name not in (TSO, OPERATOR, METERING):
        assert TOPICS.sender(TOPICS.order(name)) == name
    assert TOPICS.sender(TOPICS.query(name)) == name
    assert TOPICS.asks(TOPICS.query(name))
    assert not any(TOPICS.asks(make(name)) for make in (TOPICS.order, TOPICS.answer, TOPICS.meter))


def test_senders_of_other_topics() -> None:
    assert TOPICS.sender("doe/v1/north/interface/limits") == TSO
    assert TOPICS.sender(TOPICS.meter("load:0")) == METERING
    assert TOPICS.metered_point(TOPICS.meter("load:0")) == "load:0"
    assert TOPICS.sender(TOPICS.order(METERING)) is None
    for role in (TSO, OPERATOR, METERING):
        assert TOPICS.sender(TOPICS.query(role)) == role
    others = ("doe/v1/south/query/p1", TOPICS.answer("p1"), TOPICS.order("tso"))
    for topic in ("", "doe/v1/south/order/p1", "doe/v1/north/report/p1", *others):
        assert TOPICS.sender(topic) is None


def test_participants_cannot_reach_each_other() -> None:
    rights = TOPICS.participant_rights("p1")
    mine = [
        TOPICS.report("p1"),
        TOPICS.answer("p1"),
        TOPICS.session,
        TOPICS.envelope("load:0", START),
    ]
    others = [TOPICS.report("p2"), "doe/v1/north/report/+", "doe/v1/#", "#", TOPICS.order("p1")]
    others += [TOPICS.answer("p2"), "doe/v1/north/answer/+", TOPICS.query("p1"), TOPICS.query("p2")]
    assert all(any(covers(right, topic) for right in rights.subscribe) for topic in mine)
    assert not any(covers(right, topic) for right in rights.subscribe for topic in others)
    assert any(covers(right, TOPICS.query("p1")) for right in rights.publish)
    foreign = [TOPICS.order("p2"), TOPICS.query("p2"), TOPICS.query("tso"), TOPICS.answer("p1")]
    assert not any(covers(right, topic) for right in rights.publish for topic in foreign)
    assert not any(covers(right, TOPICS.interface_limits) for right in rights.publish)
    assert not any(covers(right, TOPICS.meter("load:1")) for right in rights.publish)


@pytest.mark.parametrize("name", ["p1", TSO, OPERATOR, METERING])
def test_market_data_is_for_all_to_read_and_for_the_exchange_alone_to_write(name: str) -> None:
    rights = TOPICS.rights_of(name)
    for topic in (
        TOPICS.book(Direction.INJECTION, START),
        TOPICS.trade,
        TOPICS.statistics(Direction.INJECTION, START),
        TOPICS.price(START),
    ):
        assert any(covers(right, topic) for right in rights.subscribe)
        assert not any(covers(right, topic) for right in rights.publish)
        assert any(covers(right, topic) for right in TOPICS.exchange_rights().publish)


def test_the_meter_operator_writes_readings_and_queries_and_nothing_else() -> None:
    rights = TOPICS.rights_of(METERING)
    assert rights.publish == (TOPICS.meter("+"), TOPICS.query(METERING))
    others = [TOPICS.order("p1"), TOPICS.control, TOPICS.interface_limits]
    assert not any(covers(right, topic) for right in rights.publish for topic in others)
    assert not any(covers(right, TOPICS.report("p1")) for right in rights.subscribe)
    assert any(covers(right, TOPICS.report(METERING)) for right in rights.subscribe)
