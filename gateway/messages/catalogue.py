"""Every topic and its messages, for the AsyncAPI document and for programs that check messages.

``docs/asyncapi.json`` is made from this table and the models (``tools/asyncapi.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, TypeAdapter

from exchange.vocabulary.rules import METERING, OPERATOR, TSO
from gateway.formats.order_terms import OrderRequest
from gateway.messages.answers import Answer, RefusedAnswer
from gateway.messages.area_state import EnvelopeMessage, SessionMessage
from gateway.messages.flexibility import (
    FlexibilityBookMessage,
    FlexibilityRequest,
    FlexibilityTradeMessage,
)
from gateway.messages.market_data import (
    BookMessage,
    PriceMessage,
    StatisticsMessage,
    TradeMessage,
)
from gateway.messages.operator_requests import ControlMessage, MeterMessage
from gateway.messages.participant_reports import Report
from gateway.messages.queries import Query
from gateway.messages.requests import LimitsMessage
from gateway.messages.safeguard_requests import DeviceMessage
from gateway.messages.topics import ROOT

Model = type[BaseModel]


@dataclass(frozen=True, slots=True)
class Channel:
    """A topic, or a family of topics, and what is said on it.

    Parameters
    ----------
    name
        Of the channel.
    levels
        The topic below the area, with parameters in braces.
    writer
        Who publishes: ``"exchange"``, or the role whose requests these are.
    models
        The forms of its messages.
    text
        A sentence.
    retained
        Whether the broker keeps the last message for later subscribers.
    """

    name: str
    levels: str
    writer: str
    models: tuple[Model, ...]
    text: str
    retained: bool = False

    @property
    def address(self) -> str:
        """The topic with parameters in braces."""
        return f"{ROOT}/{{area}}/{self.levels}"

    @property
    def incoming(self) -> bool:
        """Whether the exchange receives these messages."""
        return self.writer != "exchange"

    def adapter(self) -> TypeAdapter[Any]:
        """Return what validates messages of this channel."""
        return TypeAdapter(_union(self.models))


def _union(models: tuple[Model, ...]) -> Any:
    found: Any = models[0]
    for model in models[1:]:
        found = found | model
    return found


def _reports() -> tuple[Model, ...]:
    """Return the forms of all reports, in the order of their definition."""
    return tuple(Report.__subclasses__())


CHANNELS = (
    Channel(
        "orders",
        "order/{participant}",
        "participant",
        get_args(OrderRequest) + get_args(FlexibilityRequest) + get_args(DeviceMessage),
        "Requests of a participant about its orders, and messages about its connections.",
    ),
    Channel(
        "limits",
        "interface/limits",
        TSO,
        (LimitsMessage,),
        "What the TSO contracts at the interface for an interval.",
    ),
    Channel(
        "controls",
        "control",
        OPERATOR,
        get_args(ControlMessage),
        "Controls of the market operator, or of the DSO.",
    ),
    Channel(
        "readings",
        "meter/{connection_point}",
        METERING,
        (MeterMessage,),
        "Readings of the meter operator.",
    ),
    Channel(
        "queries",
        "query/{sender}",
        "sender",
        get_args(Query),
        "What a participant, or tso, operator or metering, asks about the state.",
    ),
    Channel(
        "answers",
        "answer/{sender}",
        "exchange",
        (*Answer.__subclasses__(), RefusedAnswer),
        "Answers to the queries of one sender, in pages.",
    ),
    Channel(
        "reports",
        "report/{receiver}",
        "exchange",
        _reports(),
        "Reports to one participant, or to tso, operator or metering, numbered without gaps.",
    ),
    Channel(
        "envelopes",
        "envelope/{connection_point}/{interval}",
        "exchange",
        (EnvelopeMessage,),
        "The envelope in force of a connection point in an interval.",
        retained=True,
    ),
    Channel(
        "book",
        "book/{direction}/{interval}",
        "exchange",
        (BookMessage,),
        "Depth of a book: snapshots, which are retained, and deltas, which are not.",
        retained=True,
    ),
    Channel(
        "trades", "trade", "exchange", (TradeMessage,), "The public tape: one message for a book."
    ),
    Channel(
        "statistics",
        "statistics/{direction}/{interval}",
        "exchange",
        (StatisticsMessage,),
        "Open, high, low, close, volume and welfare of a book.",
        retained=True,
    ),
    Channel(
        "prices",
        "price/{interval}",
        "exchange",
        (PriceMessage,),
        "Local prices of an interval and the elements behind them.",
        retained=True,
    ),
    Channel(
        "flexibilityTrades",
        "flexibility/trade",
        "exchange",
        (FlexibilityTradeMessage,),
        "The public tape of the flexibility market: one message for a direction.",
    ),
    Channel(
        "flexibilityBook",
        "flexibility/book/{interval}",
        "exchange",
        (FlexibilityBookMessage,),
        "What rests in the flexibility market of an interval.",
        retained=True,
    ),
    Channel(
        "session",
        "session",
        "exchange",
        (SessionMessage,),
        "Market phases, price collar, last alarm; heartbeat and last will.",
        retained=True,
    ),
)
"""All channels, those of requests first."""
