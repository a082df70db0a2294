"""The file that ``simulate`` writes: trades, refusals, money, final envelopes."""

from __future__ import annotations

from pydantic import Field

from exchange.vocabulary.reasons import RefusalReason
from gateway.formats.envelope_file import EnvelopeFile
from gateway.formats.records import Record, Time
from gateway.formats.statements_file import StatementRecord
from gateway.messages.market_data import BookFigures, DirectionPrices
from security_check.model.envelope import Direction


class TradeRecord(Record):
    """``quantity_w`` of limit that moved from seller to buyer at ``price`` EUR per kW.

    In a clearing of several orders, pairs are by price and time
    (:mod:`gateway.publishing.trade_prints`).
    """

    buyer: str
    seller: str
    buy_connection_point: str
    sell_connection_point: str
    direction: Direction
    quantity_w: int
    price: str


class FillRecord(Record):
    """The total fill of one order; ``amount`` in EUR, positive where the participant pays."""

    participant: str
    client_order_id: str
    quantity_w: int
    amount: str


class RestingRecord(Record):
    """An order still in the book after the last line."""

    participant: str
    client_order_id: str
    remaining_w: int


class RefusalRecord(Record):
    """A line that was refused, the reason, and a sentence with the figures."""

    line: int
    participant: str | None
    client_order_id: str | None
    reason: RefusalReason
    detail: str


class StatisticsRecord(BookFigures, Record):
    """Trades of one book in figures, as in the public statistics."""


class LocalPricesRecord(Record):
    """The local prices of an interval before its gate, as in the public messages."""

    interval: Time
    directions: list[DirectionPrices]


class ResultFile(Record):
    """The file that ``simulate`` writes."""

    trades: list[TradeRecord]
    fills: list[FillRecord]
    resting: list[RestingRecord]
    refusals: list[RefusalRecord]
    envelopes: EnvelopeFile
    welfare: str
    statements: list[StatementRecord]
    statistics: list[StatisticsRecord] = Field(default_factory=list)
    local_prices: list[LocalPricesRecord] = Field(default_factory=list)
