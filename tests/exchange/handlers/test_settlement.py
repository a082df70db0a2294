"""After the gate: readings, breaches, penalties, corrections, and statements that add up.

The oracle of the property tests knows no ledger and no entries: it adds up trades, curtailments
and the last reading of each point with plain dictionaries.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import accumulate, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from linear_grid import LinearGrid
from market import (
    GATE,
    QUARTER,
    SECOND,
    START,
    Market,
    all_of,
    interface,
    only,
    refusal,
)

from exchange.accounts.ledger import Ledger, LedgerEntry, Purpose
from exchange.accounts.statements import Statements
from exchange.engine import Exchange
from exchange.vocabulary.commands import AdvanceTime, OpenSession, SetRiskLimits, SubmitReading
from exchange.vocabulary.events import AnswerRepeated, GateClosed, HoldingCurtailed, Traded
from exchange.vocabulary.rules import (
    DSO_ACCOUNTS,
    DSO_COMPENSATION,
    DSO_CONGESTION_RENT,
    DSO_PENALTIES,
    ConnectionTerms,
    MarketRules,
    MeteringRules,
    RiskLimits,
)
from exchange.vocabulary.settlement_events import (
    MeteringClosed,
    MeterRead,
    MissingReading,
    StatementIssued,
)
from security_check.model.envelope import Direction

END = START + QUARTER
DAY = timedelta(hours=24)
RULES = MarketRules(
    compensation_price_ticks=3, metering=MeteringRules(penalty_price_ticks=7, tolerance_w=10)
)
INJECTION = Direction.INJECTION


@pytest.fixture
def market():
    """Four points of 5,000 W each way; load:0 has sold 1,000 W of injection to load:1."""
    market = Market(points=4, capacity_w=10_000, rules=RULES)
    market.sell(0, "1000@5")
    market.buy(1, "1000@5")
    return market


def deliver(market):
    """Let the gate close and delivery end."""
    market.do(AdvanceTime(), after=GATE - market.now)
    return market.do(AdvanceTime(), after=END - market.now)


def read(market, reading_id, point, injection_w=0, withdrawal_w=0, interval=START):
    return market.do(
        SubmitReading(reading_id, interval, f"load:{point}", injection_w, withdrawal_w)
    )


def breach(events):
    reading = only(events, MeterRead)
    return reading.breach_w, reading.penalty


def test_the_gate_says_by_which_terms_readings_are_taken_and_until_when(market):
    deliver(market)
    gate = only(market.events, GateClosed)
    assert (gate.readings_until, gate.penalty_price_ticks, gate.tolerance_w) == (END + DAY, 7, 10)


@pytest.mark.parametrize(
    ("point", "injection_w", "withdrawal_w", "breach_w"),
    [
        (0, 4_000, 0, 0),  # what was sold is not there any more
        (0, 4_010, 0, 0),  # the meter's tolerance
        (0, 4_011, 0, 1),
        (1, 6_000, 0, 0),  # what was bought is
        (1, 6_500, 0, 490),
        (1, 0, 5_010, 0),  # the other direction was not traded
        (1, 0, 5_110, 100),
        (2, 0, 0, 0),
    ],
)
def test_metered_power_is_held_against_the_final_envelope(
    market, point, injection_w, withdrawal_w, breach_w
):
    deliver(market)
    events = read(market, "r1", point, injection_w, withdrawal_w)
    assert breach(events) == (breach_w, 7 * breach_w)
    ledger = market.exchange.state.ledger
    traded = {0: 5_000, 1: -5_000}.get(point, 0)
    assert ledger.balance(f"p{point}") == traded - 7 * breach_w
    assert ledger.balance(DSO_PENALTIES) == 7 * breach_w


def test_a_correction_reverses_what_it_replaces(market):
    deliver(market)
    ledger = market.exchange.state.ledger
    read(market, "r1", 2, 6_010)
    assert ledger.balance("p2") == -7_000
    worse = only(read(market, "r2", 2, 7_010), MeterRead)
    assert (worse.replaces, worse.reversed_penalty, worse.penalty) == ("r1", 7_000, 14_000)
    assert ledger.balance("p2") == -14_000
    right = only(read(market, "r3", 2, 0, 100), MeterRead)
    assert (right.replaces, right.reversed_penalty, right.penalty) == ("r2", 14_000, 0)
    assert ledger.balance("p2") == ledger.balance(DSO_PENALTIES) == 0


def test_a_reading_sent_twice_is_one_even_when_it_has_been_replaced(market):
    deliver(market)
    first = only(read(market, "r1", 2, 6_010), MeterRead)
    read(market, "r2", 2, 100)
    repeat = only(read(market, "r1", 2, 6_010), AnswerRepeated)
    assert repeat.participant == "metering"
    assert market.exchange.state.repeated_answer(repeat) == first
    assert market.exchange.state.metering.intervals[START].readings["load:2"].injection_w == 100
    assert market.exchange.state.ledger.balance("p2") == 0


def test_when_readings_close_the_missing_are_named_and_penalties_settled(market):
    deliver(market)
    read(market, "r1", 2, 6_010)
    events = market.do(AdvanceTime(), after=END + DAY - market.now)
    assert only(events, MeteringClosed).missing == tuple(
        MissingReading(f"p{i}", f"load:{i}") for i in (0, 1, 3)
    )
    assert [(s.participant, s.penalties, s.balance) for s in all_of(events, StatementIssued)] == [
        (DSO_PENALTIES, -7_000, 7_000),
        ("p2", 7_000, -7_000),
    ]
    assert market.exchange.state.ledger.settled_balance("p2") == -7_000
    assert market.exchange.state.metering.snapshot() == {"intervals": []}


def test_nothing_is_missing_of_an_interval_that_is_not_metered():
    market = Market(points=2, capacity_w=10_000)
    deliver(market)
    market.do(AdvanceTime(), after=2 * DAY)
    assert not all_of(market.events, MeteringClosed)


def test_an_interval_that_awaits_readings_is_not_opened_again(market):
    deliver(market)
    market.do(AdvanceTime(), after=timedelta(hours=3))
    market.do(OpenSession(END, END + QUARTER, market.now + 2 * SECOND, interface()))
    market.do(AdvanceTime(), after=timedelta(hours=2))  # By now the first session is forgotten.
    assert START not in market.exchange.state.sessions
    command = OpenSession(START, END, market.now + DAY, interface())
    assert refusal(market.do(command)) == (
        "session_exists",
        "interval [2030-06-01T12:00:00Z, 2030-06-01T12:15:00Z) has been delivered and awaits its "
        "readings",
    )


# Compensation, and what penalties do to credit.


def test_curtailment_is_compensated_and_a_raise_takes_nothing_back(market):
    events = market.update("u1", interface(10_000, 20_000))
    curtailed = all_of(events, HoldingCurtailed)
    assert curtailed
    assert all(each.compensation == 3 * (each.from_w - each.to_w) for each in curtailed)
    paid = sum(each.compensation for each in curtailed)
    market.update("u2", interface(20_000, 20_000))
    assert market.exchange.state.ledger.balance(DSO_COMPENSATION) == -paid == -30_000
    statements = all_of(market.close(), StatementIssued)
    assert {s.participant: s.compensation for s in statements}[DSO_COMPENSATION] == -30_000
    assert sum(s.balance for s in statements) == 0


def test_penalties_count_against_credit_and_corrections_give_it_back(market):
    later = END + timedelta(hours=6)
    market.do(OpenSession(later, later + QUARTER, later, interface(20_000, 20_000)))
    market.do(SetRiskLimits("c1", "p2", RiskLimits(credit=10_000)))
    market.sell(3, "1000@5", interval=later)
    deliver(market)
    read(market, "r1", 2, 6_010)  # costs 7,000
    assert refusal(market.buy(2, "601@5", interval=later)) == (
        "insufficient_credit",
        "buy for up to 0.0003005 EUR exceeds the credit limit of 0.001 EUR of p2, of which "
        "0.0007 EUR are owed and 0 EUR are in open buy orders",
    )
    assert all_of(market.buy(2, "600@5", interval=later), Traded)
    assert refusal(market.buy(2, "1@5", interval=later))[0] == "insufficient_credit"
    read(market, "r2", 2, 5_000)
    assert all_of(market.buy(2, "1@5", interval=later), Traded)


# Refusals: each reason, with its sentence.


def test_a_reading_before_delivery_has_ended(market):
    sentence = "delivery of 2030-06-01T12:00:00Z ends at 2030-06-01T12:15:00Z, it is "
    assert refusal(read(market, "r1", 0, 1)) == (
        "delivery_not_over",
        sentence + "2030-06-01T08:00:04Z",
    )
    market.do(AdvanceTime(), after=GATE - market.now)
    market.now = END - 2 * SECOND
    assert refusal(read(market, "r2", 0, 1)) == (
        "delivery_not_over",
        sentence + "2030-06-01T12:14:59Z",
    )
    # It needs a new id: the old one may be a message that is delivered twice.
    assert breach(read(market, "r3", 0, 1)) == (0, 0)
    repeat = only(read(market, "r1", 0, 1), AnswerRepeated)
    assert market.exchange.state.repeated_answer(repeat).reason.value == "delivery_not_over"


def test_a_reading_before_the_gate_has_closed():
    market = Market(points=2, capacity_w=10_000, rules=RULES)
    late = END + timedelta(hours=5)
    market.do(OpenSession(END, END + QUARTER, late, interface()))
    market.now = END + QUARTER
    assert refusal(read(market, "r1", 0, 1, interval=END)) == (
        "delivery_not_over",
        "the gate of 2030-06-01T12:15:00Z closes at 2030-06-01T17:15:00Z and it is "
        "2030-06-01T12:30:01Z: its envelopes are not final",
    )


def test_a_reading_of_an_interval_that_was_never_opened(market):
    deliver(market)
    assert refusal(read(market, "r1", 0, 1, interval=END)) == (
        "unknown_interval",
        "no interval that starts at 2030-06-01T12:15:00Z awaits readings",
    )


def test_a_reading_after_readings_have_closed():
    rules = MarketRules(metering=MeteringRules(7, window=timedelta(minutes=5)))
    market = Market(points=2, capacity_w=10_000, rules=rules)
    deliver(market)
    market.now = END + timedelta(minutes=5) - SECOND
    assert refusal(read(market, "r1", 0, 1)) == (
        "metering_closed",
        "readings of 2030-06-01T12:00:00Z were taken until 2030-06-01T12:20:00Z, it is "
        "2030-06-01T12:20:00Z",
    )


def test_a_reading_where_nothing_is_metered():
    market = Market(points=2, capacity_w=10_000)
    market.do(AdvanceTime(), after=GATE - market.now)
    assert refusal(read(market, "r1", 0, 1)) == (
        "not_metered",
        "the interval of 2030-06-01T12:00:00Z is not metered: the market has no rules for it",
    )


def test_a_reading_of_a_connection_point_that_does_not_exist(market):
    deliver(market)
    assert refusal(read(market, "r1", 9, 1)) == (
        "unknown_connection_point",
        "there is no connection point load:9",
    )


@pytest.mark.parametrize(
    ("injection_w", "withdrawal_w", "sentence"),
    [
        (-1, 0, "injection of -1 W metered at load:0 in 2030-06-01T12:00:00Z is negative"),
        (0, -2_000, "withdrawal of -2,000 W metered at load:0 in 2030-06-01T12:00:00Z is negative"),
        (
            1_500,
            20,
            "mean power has one direction, but 1,500 W of injection and 20 W of withdrawal were "
            "metered at load:0 in 2030-06-01T12:00:00Z",
        ),
        *(
            (
                power_w,
                0,
                f"injection of {power_w!r} W metered at load:0 in 2030-06-01T12:00:00Z is not a "
                "whole number of watts",
            )
            for power_w in (float("nan"), float("inf"), 0.5, True, "7", None)
        ),
    ],
)
def test_a_reading_that_is_no_mean_power(market, injection_w, withdrawal_w, sentence):
    deliver(market)
    digest = market.exchange.state.metering.snapshot()
    assert refusal(read(market, "r1", 0, injection_w, withdrawal_w)) == (
        "reading_invalid",
        sentence,
    )
    assert market.exchange.state.metering.snapshot() == digest


def test_a_reading_id_with_other_content(market):
    deliver(market)
    sequence = only(read(market, "r1", 0, 1), MeterRead).sequence
    assert refusal(read(market, "r1", 0, 2)) == (
        "client_order_id_reused",
        f"id r1 was used for another request, answered by event {sequence}",
    )


def test_a_reading_is_known_until_its_interval_closes_whatever_else_is_forgotten():
    market = Market(points=4, capacity_w=10_000, rules=replace(RULES, answers_kept=2))
    deliver(market)
    first = only(read(market, "r1", 0, 1), MeterRead)
    for number in range(1, 4):
        read(market, f"s{number}", number, 1)
    state = market.exchange.state
    assert state.answers.find("metering", "r1") is None
    repeat = only(read(market, "r1", 0, 1), AnswerRepeated)
    assert state.repeated_answer(repeat) == first
    assert refusal(read(market, "r1", 0, 2)) == (
        "client_order_id_reused",
        f"id r1 was used for another request, answered by event {first.sequence}",
    )
    assert refusal(read(market, "r1", 1, 1))[0] == "client_order_id_reused"


@pytest.mark.parametrize("name", [*DSO_ACCOUNTS, "metering"])
def test_no_customer_has_the_name_of_an_account_of_the_dso(name):
    with pytest.raises(ValueError, match="cannot be a participant's name"):
        ConnectionTerms("load:0", name, 1, 1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: MeteringRules(-1),
        lambda: MeteringRules(1, tolerance_w=-1),
        lambda: MeteringRules(1, window=timedelta(0)),
        lambda: MarketRules(compensation_price_ticks=-1),
    ],
)
def test_rules_that_make_no_sense(make):
    with pytest.raises(ValueError, match=r"must not be negative|must be positive|must be >= 0"):
        make()


# Random markets against plain sums.

POINTS = 4
OWNERS = [0, 1, 2, 0]
POINT = st.integers(0, POINTS - 1)
INTERVALS = [START, START + QUARTER]
INTERVAL = st.sampled_from(INTERVALS)
TRADE = st.tuples(
    st.just("trade"),
    POINT,
    POINT,
    st.integers(1, 9).map(lambda lots: f"{lots * 10}@{lots}"),
    st.integers(1, 9).map(lambda lots: f"{lots * 10}@{lots}"),
    st.sampled_from(Direction),
    INTERVAL,
)
CURTAIL = st.tuples(st.just("limits"), st.integers(200, 500), st.integers(200, 500))
READING = st.tuples(
    st.just("read"),
    st.integers(0, 30),  # few ids, so that some come again
    st.sampled_from([0, 0, 0, 1, 1, 2, 3]),  # and some points are corrected, some missing
    st.integers(-3, 400),
    st.booleans(),
    INTERVAL,
)
WAIT = st.tuples(st.just("wait"), st.sampled_from([SECOND, QUARTER, DAY]))
DAYS = st.tuples(
    st.lists(TRADE | TRADE | TRADE | CURTAIL, min_size=5, max_size=25),
    st.lists(READING | READING | READING | WAIT, min_size=10, max_size=30),
)


def run(day):
    """Return a market in which that day has happened; restarted in the middle."""
    market = Market(
        points=POINTS, capacity_w=200, limits=interface(400, 400), rules=RULES, owners=OWNERS
    )
    market.do(OpenSession(END, END + QUARTER, GATE, interface(400, 400)))
    trading, metering = day
    for number, step in enumerate(trading):
        if step[0] == "limits":
            market.update(f"u{number}", interface(*step[1:]))
        else:
            _, seller, buyer, asked, bid, direction, interval = step
            where = {"direction": direction, "interval": interval}
            market.sell(OWNERS[seller], asked, point=seller, **where)
            market.buy(OWNERS[buyer], bid, point=buyer, **where)
    deliver(market)
    restart(market)
    for step in metering:
        if step[0] == "wait":
            market.do(AdvanceTime(), after=step[1])
        else:
            _, number, point, power_w, injects, interval = step
            injection_w, withdrawal_w = _split(power_w, injects)
            read(market, f"r{number}", point, injection_w, withdrawal_w, interval)
    return market


def _split(power_w, injects):
    return (power_w, 0) if injects else (0, power_w)


def restart(market):
    snapshot = json.loads(json.dumps(market.exchange.snapshot()))
    restored = Exchange.restore(snapshot, market.grid, market.rules, market.terms)
    assert restored.digest() == market.exchange.digest()
    market.exchange = restored


def plain_sums(events):
    """Return ``[paid, received, compensation, penalties]`` by participant and interval."""
    found: dict[tuple[str, datetime], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    latest = {}
    for event in events:
        match event:
            case Traded():
                for fill in event.fills:
                    sums = found[fill.participant, fill.interval]
                    sums[0 if fill.amount > 0 else 1] += abs(fill.amount)
            case HoldingCurtailed():
                found[event.participant, event.interval][2] += 3 * (event.from_w - event.to_w)
            case MeterRead():
                latest[event.participant, event.interval, event.connection_point] = event
    for (participant, interval, _), event in latest.items():
        beyond_w = max(
            event.injection_w - event.injection_limit_w,
            event.withdrawal_w - event.withdrawal_limit_w,
        )
        found[participant, interval][3] += 7 * max(0, beyond_w - 10)
    return {key: sums for key, sums in found.items() if any(sums)}


def folded(events, since=None, until=None):
    statements = Statements(since, until)
    for event in events:
        statements.apply(event)
    statements.check_invariants()
    return statements


def as_sums(statements):
    """Return statements in the form of :func:`plain_sums`, without the DSO's."""
    return {
        (name, line.interval): [a.paid, a.received, a.compensation, a.penalties]
        for name in statements.names()
        if name not in DSO_ACCOUNTS
        for line in statements.statement(name).lines
        if any(getattr(a := line.account, key) for key in KEYS)
    }


KEYS = ("paid", "received", "compensation", "penalties")


def reported(statements):
    """Return all there is in statements, so that two folds can be compared."""
    return [statements.statement(name) for name in statements.names()]


@pytest.mark.slow
def test_random_days_trade_breach_correct_and_miss():
    """The days below are worth the name: without this, the properties could hold of nothing."""
    seen = dict.fromkeys(["trades", "breaches", "corrections", "missing", "compensation"], 0)

    @settings(max_examples=100, deadline=None, database=None, derandomize=True)
    @given(DAYS)
    def count(day):
        market = run(day)
        readings = all_of(market.events, MeterRead)
        seen["trades"] += len(all_of(market.events, Traded))
        seen["breaches"] += sum(each.breach_w > 0 for each in readings)
        seen["corrections"] += sum(each.reversed_penalty > 0 for each in readings)
        seen["missing"] += sum(len(e.missing) for e in all_of(market.events, MeteringClosed))
        seen["compensation"] += sum(
            each.compensation for each in all_of(market.events, HoldingCurtailed)
        )

    count()
    assert min(seen.values()) > 10, seen


@settings(max_examples=40, deadline=None)
@given(DAYS)
def test_statements_are_the_plain_sums_and_follow_from_the_events(day):
    market = run(day)
    statements = folded(market.events)
    assert as_sums(statements) == plain_sums(market.events)
    ledger = market.exchange.state.ledger
    for name in statements.names():
        assert statements.statement(name).closing == ledger.balance(name)
    assert sum(each.closing for each in reported(statements)) == 0
    replayed = Exchange(LinearGrid(market.grid.capacity_w), market.rules, market.terms)
    replayed.replay(market.events)
    assert replayed.digest() == market.exchange.digest()
    assert reported(folded(market.events)) == reported(statements)


@settings(max_examples=20, deadline=None)
@given(DAYS, st.lists(st.integers(0, 60), max_size=3).map(sorted))
def test_the_closing_balance_of_a_period_opens_the_next(day, cuts):
    market = run(day)
    moments = [event.time for event in market.events]
    borders = [None, *(moments[min(cut, len(moments) - 1)] for cut in cuts), None]
    names = folded(market.events).names()
    periods = [folded(market.events, *pair) for pair in pairwise(borders)]
    for name in names:
        parts = [period.statement(name) for period in periods]
        moved = [sum(line.account.balance for line in part.lines) for part in parts]
        assert [part.closing for part in parts] == list(accumulate(moved))
        assert [part.opening for part in parts] == [0, *(part.closing for part in parts[:-1])]


@given(
    st.lists(
        st.tuples(
            INTERVAL,
            st.sampled_from(Purpose),
            *[st.sampled_from(["p0", "p1", *DSO_ACCOUNTS])] * 2,
            st.integers(-50, 50),
            st.integers(0, 9),
        )
    )
)
def test_whatever_is_booked_the_ledger_adds_up_to_zero(rows):
    ledger = Ledger()
    balances: dict[str, int] = defaultdict(int)
    for row in rows:
        entry = LedgerEntry(*row)
        ledger.book(entry)
        balances[entry.payer] -= entry.amount
        balances[entry.payee] += entry.amount
        ledger.check_invariants()
    assert all(ledger.balance(name) == balance for name, balance in balances.items())
    for interval in INTERVALS:
        for name in ledger.accounts(interval):
            ledger.settle(interval, name)
    ledger.check_invariants()
    assert all(ledger.settled_balance(name) == ledger.balance(name) for name in balances)
    assert Ledger.restore(ledger.snapshot()).snapshot() == ledger.snapshot()


def test_congestion_rent_is_what_buyers_pay_and_sellers_do_not_receive():
    ledger = Ledger()
    ledger.book(LedgerEntry(START, Purpose.TRADE, "p0", DSO_CONGESTION_RENT, 90, 10))
    ledger.book(LedgerEntry(START, Purpose.TRADE, DSO_CONGESTION_RENT, "p1", 60, 10))
    ledger.check_invariants()
    assert ledger.balance(DSO_CONGESTION_RENT) == 30


def test_a_statement_on_record_that_does_not_add_up_is_found(market):
    deliver(market)
    from dataclasses import replace

    at = next(i for i, e in enumerate(market.events) if isinstance(e, StatementIssued))
    forged = replace(market.events[at], received=market.events[at].received + 1)
    with pytest.raises(ValueError, match=rf"event {forged.sequence}: the statement of p0 for"):
        folded([*market.events[:at], forged])
