"""Compute, verify and trade operating envelopes from Python: the names that a notebook needs.

>>> import pandapower.networks
>>> import doe_exchange as dx
>>> net = pandapower.networks.create_kerber_landnetz_freileitung_1()
>>> area = dx.Area.from_pandapower(net, capacity_w=15_000, interface=(0.98, 1.02))
>>> envelopes = area.allocate()
>>> bool(envelopes.verify())
True

``area``           :class:`Area`: a network, its limits, its customers
``market``         :class:`Market`: the exchange of an area, in memory
``market_tables``  orders, trades, books, prices, statements as tables
``envelopes``      :class:`Envelopes`
``verdict``        the adversary's :class:`Verdict` on envelopes
``orders``         :class:`Order`: what became of one order
``order_lines``    orders as Python states them
``pictures``       :class:`Picture`: a figure for a notebook or a file
``tables``         what all results share: a title, a short table, ``to_frame()``
``arguments``      times, intervals and limits as a notebook gives them
``client``         clients of a running exchange, over MQTT

The package computes nothing itself: it calls what the command line calls.  A name is imported when
it is first used, because pandapower takes seconds to load.  ``docs/python-api.md`` is a tutorial.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import gateway  # noqa: F401  # sets the BLAS to one thread before NumPy is imported

if TYPE_CHECKING:
    from doe_allocation.fairness.principles import Rule
    from doe_exchange.area import Area
    from doe_exchange.envelopes import Envelopes
    from doe_exchange.market import Market
    from doe_exchange.orders import Order, OrderStatus
    from doe_exchange.pictures import Picture
    from doe_exchange.tables import Table
    from doe_exchange.verdict import Verdict
    from exchange.vocabulary.reasons import RefusalReason
    from gateway.errors import GatewayError
    from gateway.formats.faults import InputFaults, InvalidMessageError
    from orderbook.order import Side, TimeInForce
    from security_check.errors import Fault, GridError, InsecureError, PowerFlowError
    from security_check.model.envelope import Direction, Envelope

__all__ = [
    "Area",
    "Direction",
    "Envelope",
    "Envelopes",
    "Fault",
    "GatewayError",
    "GridError",
    "InputFaults",
    "InsecureError",
    "InvalidMessageError",
    "Market",
    "Order",
    "OrderStatus",
    "Picture",
    "PowerFlowError",
    "RefusalReason",
    "Rule",
    "Side",
    "Table",
    "TimeInForce",
    "Verdict",
]

# The module that defines each name.
_HOME = {
    "Area": "doe_exchange.area",
    "Direction": "security_check.model.envelope",
    "Envelope": "security_check.model.envelope",
    "Envelopes": "doe_exchange.envelopes",
    "Fault": "security_check.errors",
    "GatewayError": "gateway.errors",
    "GridError": "security_check.errors",
    "InputFaults": "gateway.formats.faults",
    "InsecureError": "security_check.errors",
    "InvalidMessageError": "gateway.formats.prices",
    "Market": "doe_exchange.market",
    "Order": "doe_exchange.orders",
    "OrderStatus": "doe_exchange.orders",
    "Picture": "doe_exchange.pictures",
    "PowerFlowError": "security_check.errors",
    "RefusalReason": "exchange.vocabulary.reasons",
    "Rule": "doe_allocation.fairness.principles",
    "Side": "orderbook.order",
    "Table": "doe_exchange.tables",
    "TimeInForce": "orderbook.order",
    "Verdict": "doe_exchange.verdict",
}


def __getattr__(name: str) -> Any:
    """Return a public name, and import its module when it is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(_HOME[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return list(__all__)
