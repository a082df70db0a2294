from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from exchange.vocabulary.commands import SubmitJoint
from exchange.vocabulary.reasons import RefusalReason
from gateway.formats.atomic_files import write_json
from gateway.formats.envelope_file import (
    EnvelopeFile,
    envelope_record,
    envelope_set,
    read_json_envelopes,
)
from gateway.formats.faults import InputFaults
from gateway.formats.order_terms import (
    AmendRequest,
    BlockRequest,
    CancelRequest,
    LinkedRequest,
    MassCancelRequest,
    OrderRequest,
    SubmitRequest,
    order_command,
)
from gateway.formats.orders_file import OrderLine, RefusedLine, read_order_line, read_orders
from gateway.formats.strict_json import MAX_REQUEST_BYTES
from orderbook.order import UNCONDITIONAL, OrderConditions, SelfTradePrevention, Side, TimeInForce
from security_check.model.envelope import Direction, EnvelopeSet

START = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
END = START + timedelta(minutes=15)
ORDER = (
    '{"time": "2026-07-01T10:00:00Z", "type": "submit", "participant": "p1", '
    '"client_order_id": "a1", "connection_point": "load:0", "direction": "injection", '
    '"interval": "2026-07-01T12:00:00Z", "side": "buy", "quantity_w": 1000, '
    '"price": "0.0450", "time_in_force": "GTC"}'
)


def envelopes() -> EnvelopeSet:
    return EnvelopeSet(
        ("load:0", "load:1"), [6907, 15329], [6621, 6621], ["line:12", "bus:4"], ["trafo:0"] * 2
    )


def test_envelopes_survive_a_file(tmp_path: Path) -> None:
    path = tmp_path / "envelopes.json"
    write_json(path, EnvelopeFile(intervals=[envelope_record(START, END, envelopes())]))
    record = read_json_envelopes(path).intervals[0]
    again, faults = envelope_set(record, ("load:0", "load:1"))
    assert faults == []
    assert again == envelopes()
    assert again is not None
    assert again.injection_bottlenecks == ("line:12", "bus:4")
    assert (record.start, record.end) == (START, END)
    text = path.read_text()
    assert '"start": "2026-07-01T12:00:00Z"' in text
    assert [p.name for p in tmp_path.iterdir()] == ["envelopes.json"]


def test_envelopes_come_back_in_the_order_of_the_network() -> None:
    record = envelope_record(START, END, envelopes())
    again, _ = envelope_set(record, ("load:1", "load:0"))
    assert again is not None
    assert again.injection_w.tolist() == [15329, 6907]


def test_envelopes_that_do_not_fit_the_network_show_every_fault() -> None:
    record = envelope_record(START, END, envelopes())
    doubled = record.model_copy(update={"envelopes": [*record.envelopes, record.envelopes[0]]})
    nothing, faults = envelope_set(doubled, ("load:0", "load:7", "load:8"))
    assert nothing is None
    assert [fault.element for fault in faults] == ["load:1", "load:0", "load:7", "load:8"]
    assert all("2026-07-01T12:00:00Z" in fault.detail for fault in faults)


@pytest.mark.parametrize(
    ("content", "element", "words"),
    [
        ("{", "content", "not JSON"),
        ('{"intervals": 3}', "intervals", "it should be a valid array, found 3"),
        ("{}", "intervals", "missing"),
        ('{"intervals": [], "unit": "kW"}', "unit", "no such entry"),
        ('{"intervals": [], "intervals": []}', "intervals", "there twice"),
    ],
)
def test_a_file_of_another_form_is_a_fault(
    tmp_path: Path, content: str, element: str, words: str
) -> None:
    path = tmp_path / "envelopes.json"
    path.write_text(content)
    with pytest.raises(InputFaults) as caught:
        read_json_envelopes(path)
    assert [fault.element for fault in caught.value.faults] == [element]
    assert words in caught.value.faults[0].detail


def test_limits_must_be_whole_watts_and_all_faults_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "envelopes.json"
    path.write_text(
        '{"intervals": [{"start": "2026-07-01T12:00:00", "end": "2026-07-01T12:15:00Z", '
        '"envelopes": [{"connection_point": "load:0", "injection_limit_w": 1.5, '
        '"withdrawal_limit_w": -1}]}]}'
    )
    with pytest.raises(InputFaults) as caught:
        read_json_envelopes(path)
    assert [fault.element for fault in caught.value.faults] == [
        "intervals.0.start",
        "intervals.0.envelopes.0.injection_limit_w",
        "intervals.0.envelopes.0.withdrawal_limit_w",
    ]


def test_a_missing_file_is_a_fault(tmp_path: Path) -> None:
    for read in (read_json_envelopes, read_orders):
        with pytest.raises(InputFaults, match="cannot be read"):
            read(tmp_path / "nothing")


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    content = EnvelopeFile(intervals=[])
    with pytest.raises(InputFaults, match="cannot be written"):
        write_json(tmp_path / "no-such-folder" / "out.json", content)
    for folder in (tmp_path, Path()):
        with pytest.raises(InputFaults, match="it is a folder"):
            write_json(folder, content)
    in_a_file = tmp_path / "kept.json" / "out.json"
    kept = tmp_path / "kept.json"
    kept.write_text("old")
    with pytest.raises(InputFaults, match="not a directory"):
        write_json(in_a_file, content)
    assert kept.read_text() == "old"
    write_json(kept, content)
    assert read_json_envelopes(kept) == content
    assert [path.name for path in tmp_path.iterdir()] == ["kept.json"]


def request_in(line: str) -> OrderRequest:
    read = read_order_line(1, line.encode())
    assert isinstance(read, OrderLine)
    assert read.participant == "p1"
    assert read.time == read.request.time
    return read.request


def refusal_of(line: bytes) -> RefusedLine:
    read = read_order_line(4, line)
    assert isinstance(read, RefusedLine)
    assert read.number == 4
    return read


def test_the_kinds_of_order_lines() -> None:
    submit = request_in(ORDER)
    assert isinstance(submit, SubmitRequest)
    assert (submit.side, submit.direction) == (Side.BUY, Direction.INJECTION)
    assert submit.interval == START
    assert submit.effective_time_in_force() is TimeInForce.GOOD_TILL_CANCEL
    assert submit.conditions() is UNCONDITIONAL
    head = '"time": "2026-07-01T10:00:00+02:00", "participant": "p1", "client_order_id": "a1"'
    cancel = request_in(f'{{"type": "cancel", {head}}}')
    assert isinstance(cancel, CancelRequest)
    assert cancel.time == datetime(2026, 7, 1, 8, tzinfo=UTC)
    amend = request_in(f'{{"type": "amend", {head}, "price": "0.1"}}')
    assert isinstance(amend, AmendRequest)
    assert (amend.quantity_w, amend.price) == (None, "0.1")
    head = '"time": "2026-07-01T10:00:00+02:00", "participant": "p1"'
    mass = request_in(f'{{"type": "mass_cancel", {head}, "side": "buy"}}')
    assert isinstance(mass, MassCancelRequest)
    assert (mass.side, mass.interval) == (Side.BUY, None)


def test_joint_order_lines() -> None:
    head = '"time": "2026-07-01T10:00:00Z", "participant": "p1", "client_order_id": "a1"'
    leg = (
        '{"connection_point": "load:0", "direction": "injection", "side": "sell", '
        '"quantity_w": 5, "price": "0.1"}'
    )
    linked = request_in(f'{{"type": "linked", {head}, "legs": [{leg}, {leg}]}}')
    assert isinstance(linked, LinkedRequest)
    assert [each.quantity_w for each in linked.legs] == [5, 5]
    where = '"connection_point": "load:0", "direction": "injection", "side": "sell"'
    block = request_in(
        f'{{"type": "block", {head}, {where}, "quantity_w": 5, "price": "0.1", '
        f'"intervals": ["2026-07-01T12:00:00Z", "2026-07-01T14:15:00+02:00"]}}'
    )
    assert isinstance(block, BlockRequest)
    joint = order_command(block, "p1", Decimal("0.0001"), [])
    assert isinstance(joint, SubmitJoint)
    assert [leg.interval for leg in joint.legs] == [START, START + timedelta(minutes=15)]
    assert (joint.all_or_none, joint.legs[1].limit_price_ticks) == (False, 1000)
    for legs in (leg, f"{leg}, {leg}, {leg}"):
        faulty = refusal_of(f'{{"type": "linked", {head}, "legs": [{legs}]}}'.encode())
        assert "legs" in faulty.detail


def test_an_order_line_with_conditions() -> None:
    text = ORDER.replace('"price": "0.0450", "time_in_force": "GTC"', '"order_type": "market"')
    market = request_in(text)
    assert isinstance(market, SubmitRequest)
    assert market.effective_time_in_force() is TimeInForce.IMMEDIATE_OR_CANCEL
    for entry, conditions in (
        ('"post_only": true', OrderConditions(post_only=True)),
        ('"all_or_none": true', OrderConditions(all_or_none=True)),
        ('"minimum_quantity_w": 500', OrderConditions(minimum_w=500)),
        ('"displayed_quantity_w": 200', OrderConditions(displayed_w=200)),
        (
            '"self_trade_prevention": "cancel_both"',
            OrderConditions(self_trade_prevention=SelfTradePrevention.CANCEL_BOTH),
        ),
    ):
        order = request_in(f"{ORDER[:-1]}, {entry}}}")
        assert isinstance(order, SubmitRequest)
        assert order.conditions() == conditions


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"price": "0.0450"', '"price": 0.045', "price"),
        ('"price": "0.0450"', '"price": "NaN"', "price"),
        ('"price": "0.0450"', '"price": "1e3"', "price"),
        ('"price": "0.0450"', '"post_only": true', "a limit order needs a price"),
        (
            '"price": "0.0450"',
            '"price": "1", "order_type": "market"',
            "a market order has no price",
        ),
        ('"side": "buy"', '"side": "buy", "all_or_none": 1', "all_or_none"),
        ('"quantity_w": 1000', '"quantity_w": 1000.0', "quantity_w"),
        ('"quantity_w": 1000', '"quantity_w": true', "quantity_w"),
        ('"quantity_w": 1000', '"quantity_w": "1000"', "quantity_w"),
        ('"side": "buy"', '"side": "both"', "side"),
        ('"type": "submit"', '"type": "pray"', "type: it is 'pray'"),
        ('"participant": "p1"', '"participant": ""', "participant"),
        ('"2026-07-01T10:00:00Z"', '"2026-07-01T10:00:00"', "time"),
        ('"side": "buy"', '"side": "buy", "note": "x"', "note"),
        ('"quantity_w": 1000', '"quantity_w": 1000, "quantity_w": 9000', "quantity_w: it is there"),
        ('"2026-07-01T10:00:00Z"', '"9999-12-31T23:59:59Z"', "years 1970 to 9998"),
        ('"2026-07-01T10:00:00Z"', '"0001-01-01T00:00:00+02:00"', "years 1970 to 9998"),
    ],
)
def test_a_faulty_line_says_what_is_wrong_and_who_sent_it(old: str, new: str, words: str) -> None:
    assert old in ORDER
    text = refusal_of(ORDER.replace(old, new).encode())
    assert words in text.detail
    assert text.client_order_id == "a1"


@pytest.mark.parametrize(
    "line", [b"\xff\xfe", b"[1, 2]", b"null", b"{", b"[" * 5000, b'{"a": ' + b"9" * 5000 + b"}"]
)
def test_nothing_in_a_line_can_do_harm(line: bytes) -> None:
    text = refusal_of(line)
    assert text.detail
    assert (text.participant, text.client_order_id) == (None, None)


def test_an_oversized_line_is_not_even_looked_at() -> None:
    padded = ORDER.replace('"p1"', f'"{"x" * MAX_REQUEST_BYTES}"')
    text = refusal_of(padded.encode())
    assert "at most 8,192" in text.detail
    assert text.reason is RefusalReason.TOO_LARGE


def test_lines_keep_their_numbers_and_blank_ones_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "orders.jsonl"
    path.write_bytes(ORDER.encode() + b"\r\n\n  \nnonsense\n" + ORDER.encode())
    assert [(text.number, isinstance(text, RefusedLine)) for text in read_orders(path)] == [
        (1, False),
        (4, True),
        (5, False),
    ]
