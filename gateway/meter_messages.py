"""What the meter operator may say: JSON messages, turned into commands."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, TypeAdapter, model_validator

from exchange.vocabulary.commands import ReportMetering
from exchange.vocabulary.reasons import RefusalReason
from gateway.order_terms import PointId, Watts
from gateway.records import Time
from gateway.unfit import ClientId, UnfitError


class MeterMessage(BaseModel):
    """Mean power metered over one interval, in whole watts; what is left out is 0, not both.

    The connection point is decided by the topic; a message may repeat it, but not differ.
    ``time`` is the sender's clock, for its own records.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    reading_id: ClientId
    interval: Time
    connection_point: PointId | None = None
    injection_w: Watts | None = None
    withdrawal_w: Watts | None = None
    time: Time | None = None

    @model_validator(mode="after")
    def _says_something(self) -> MeterMessage:
        if self.injection_w is None and self.withdrawal_w is None:
            raise ValueError("a reading needs injection_w or withdrawal_w")
        return self


METER: TypeAdapter[MeterMessage] = TypeAdapter(MeterMessage)


def meter_command(message: MeterMessage, connection_point: str) -> ReportMetering:
    """Return the command a reading asks for.

    Raises
    ------
    UnfitError
        When the message names another connection point than its topic.
    """
    if message.connection_point not in (None, connection_point):
        raise UnfitError(
            f"this is the topic of {connection_point}, and the message names another connection "
            "point",
            RefusalReason.UNAUTHORISED,
        )
    return ReportMetering(
        reading_id=message.reading_id,
        interval=message.interval,
        connection_point=connection_point,
        injection_w=message.injection_w or 0,
        withdrawal_w=message.withdrawal_w or 0,
    )
