"""The clients of the roles: DSO or market operator, TSO, and meter operator."""

from __future__ import annotations

from typing import Any

from exchange.vocabulary.rules import EVERY_PARTICIPANT, METERING, OPERATOR, TSO
from gateway.client.broker_address import settings_of
from gateway.client.market import public_filters
from gateway.client.mirrors.public_market import MarketTopic
from gateway.client.mirrors.reading import read_as
from gateway.client.requesting import RequestingClient
from gateway.client.requests import Moment, Price, request_of
from gateway.messages.participant_reports import ControlReport, LimitsReport, ReadingReport
from gateway.transport.json_listener import Content
from gateway.transport.mqtt_settings import MqttSettings
from security_check.model.envelope import Direction


class _RoleClient(RequestingClient):
    """The client of one role.

    Parameters
    ----------
    broker
        ``mqtt[s]://user:password@host:port``, or settings.
    area
        The area.
    market_data
        Whether to hear all books, prices, trades and envelopes, too.
    again_after_s
        Seconds after which what has no answer is sent again.
    """

    _NAME: str

    def __init__(
        self,
        broker: str | MqttSettings,
        area: str,
        *,
        market_data: bool = False,
        again_after_s: float = 2.0,
    ) -> None:
        about = tuple(MarketTopic) if market_data else (MarketTopic.SESSION,)
        settings = settings_of(broker, self._NAME)
        filters = public_filters(area, about)
        super().__init__(settings, area, self._NAME, filters, again_after_s)


class DsoClient(_RoleClient):
    """Sets the controls of the market, as DSO or market operator.

    Examples
    --------
    >>> async def halt_for_a_moment():
    ...     async with DsoClient(broker, "north") as operator:
    ...         report = await operator.halt(operator.open_intervals[-1])
    ...         print(report.control, [each["type"] for each in await operator.controls()])
    ...         await operator.resume(report.interval)
    >>> asyncio.run(halt_for_a_moment())
    halt ['halt']
    """

    _NAME = OPERATOR

    async def price_collar(
        self, min_price: Price | None = None, max_price: Price | None = None
    ) -> ControlReport:
        """Set the lowest and highest limit price, EUR per kW; a missing one is no bound."""
        return await self._control("price_collar", min_price=min_price, max_price=max_price)

    async def risk_limits(
        self,
        participant: str = EVERY_PARTICIPANT,
        *,
        max_quantity_w: int | None = None,
        orders_per_minute: int | None = None,
        position_w: int | None = None,
        credit: Price | None = None,
    ) -> ControlReport:
        """Set what a participant may do, or all without limits of their own; credit in EUR."""
        return await self._control(
            "risk_limits",
            participant=participant,
            max_quantity_w=max_quantity_w,
            orders_per_minute=orders_per_minute,
            position_w=position_w,
            credit=credit,
        )

    async def kill_switch(self, participant: str, *, engaged: bool) -> ControlReport:
        """Cancel all orders of a participant (``"*"``: of all) and refuse new ones, or release."""
        return await self._control("kill_switch", participant=participant, engaged=engaged)

    async def halt(self, interval: Moment | None = None) -> ControlReport:
        """Halt trading in one interval, or without one in all."""
        return await self._control("halt", interval=interval)

    async def resume(self, interval: Moment | None = None) -> ControlReport:
        """End a halt of the same extent."""
        return await self._control("resume", interval=interval)

    async def buy_back(
        self, interval: Moment, direction: Direction | str, quantity_w: int, price: Price
    ) -> ControlReport:
        """Buy sell orders back before curtailing, up to a price in EUR per kW; 0 W ends it."""
        return await self._control(
            "buy_back", interval=interval, direction=direction, quantity_w=quantity_w, price=price
        )

    async def controls(self) -> list[Content]:
        """Return the controls in force."""
        return await self._entries("controls")

    async def _control(self, kind: str, **entries: Any) -> ControlReport:
        return read_as(ControlReport, await self.request(request_of(kind, **entries)))


class TsoClient(_RoleClient):
    """Sets the limits at the interface, as TSO.

    Examples
    --------
    >>> async def narrower_band():
    ...     async with TsoClient(broker, "north") as tso:
    ...         report = await tso.set_limits(tso.open_intervals[-1], 0.99, 1.03)
    ...         print(report.voltage_min_pu, len(await tso.limits()) == len(tso.open_intervals))
    >>> asyncio.run(narrower_band())
    0.99 True
    """

    _NAME = TSO

    async def set_limits(
        self,
        interval: Moment,
        voltage_min_pu: float,
        voltage_max_pu: float,
        *,
        injection_limit_w: int | None = None,
        withdrawal_limit_w: int | None = None,
        unbalance_pu: float | None = None,
        reactive_min_var: int | None = None,
        reactive_max_var: int | None = None,
    ) -> LimitsReport:
        """Set the whole contract of one interval; what is left out has no limit."""
        answer = await self.request(
            request_of(
                None,
                interval=interval,
                voltage_min_pu=voltage_min_pu,
                voltage_max_pu=voltage_max_pu,
                injection_limit_w=injection_limit_w,
                withdrawal_limit_w=withdrawal_limit_w,
                unbalance_pu=unbalance_pu,
                reactive_min_var=reactive_min_var,
                reactive_max_var=reactive_max_var,
            )
        )
        return read_as(LimitsReport, answer)

    async def limits(self) -> list[Content]:
        """Return the limits in force of all open intervals."""
        return await self._entries("limits")


class MeterClient(_RoleClient):
    """Submits readings, as meter operator.

    Examples
    --------
    >>> async def a_reading(interval):
    ...     async with MeterClient(broker, "north") as meter:
    ...         try:
    ...             await meter.submit("load:0", interval, injection_w=4110)
    ...         except RequestRefusedError as refusal:
    ...             print(refusal.reason)
    >>> asyncio.run(a_reading("2016-05-02T12:00:00Z"))
    unknown_interval
    """

    _NAME = METERING

    async def submit(
        self,
        connection_point: str,
        interval: Moment,
        *,
        injection_w: int | None = None,
        withdrawal_w: int | None = None,
    ) -> ReadingReport:
        """Submit the mean power of a delivered interval, in watts; one of the two is above 0."""
        answer = await self.request(
            request_of(
                None,
                connection_point=connection_point,
                interval=interval,
                injection_w=injection_w,
                withdrawal_w=withdrawal_w,
            )
        )
        return read_as(ReadingReport, answer)
