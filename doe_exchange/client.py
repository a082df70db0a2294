"""Trade over MQTT from Python: clients of a running exchange.

:class:`TradingClient`  orders of a participant, with a mirror of its orders, positions, envelopes
:class:`DsoClient`      the controls of the market, of DSO or market operator
:class:`TsoClient`      the limits at the interface
:class:`MeterClient`    readings
:class:`MarketClient`   reads what is public

All are asynchronous context managers.  ``docs/client.md`` is a tutorial.  This module is imported
by itself, because a notebook without MQTT does not need it.
"""

from __future__ import annotations

import gateway  # noqa: F401  # sets the BLAS to one thread before NumPy is imported
from gateway.client.area_view import MarketMessage
from gateway.client.feeds import Feed, FeedOverflowError
from gateway.client.market import MarketClient
from gateway.client.mirrors.books import Book, PriceLevel
from gateway.client.mirrors.own_orders import OrderLeg, OrderState, OwnOrder
from gateway.client.mirrors.own_positions import HeldLimits
from gateway.client.mirrors.point_envelopes import LimitsNow, LimitSource, PointEnvelopes
from gateway.client.mirrors.public_market import MarketTopic
from gateway.client.requests import Conditions, JointConditions, LegTerms
from gateway.client.roles import DsoClient, MeterClient, TsoClient
from gateway.client.trading import TradingClient
from gateway.errors import (
    BrokerRefusedError,
    GatewayError,
    PublishRefusedError,
    RequestRefusedError,
    TransportError,
)
from gateway.transport.mqtt_settings import MqttSettings

__all__ = [
    "Book",
    "BrokerRefusedError",
    "Conditions",
    "DsoClient",
    "Feed",
    "FeedOverflowError",
    "GatewayError",
    "HeldLimits",
    "JointConditions",
    "LegTerms",
    "LimitSource",
    "LimitsNow",
    "MarketClient",
    "MarketMessage",
    "MarketTopic",
    "MeterClient",
    "MqttSettings",
    "OrderLeg",
    "OrderState",
    "OwnOrder",
    "PointEnvelopes",
    "PriceLevel",
    "PublishRefusedError",
    "RequestRefusedError",
    "TradingClient",
    "TransportError",
    "TsoClient",
]
