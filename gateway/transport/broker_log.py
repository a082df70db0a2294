"""What amqtt logs, without its noise.

amqtt logs a warning or a traceback for each message that a client does not confirm, and for
everything that is under way when it ends.  Of warnings that differ only in numbers one is kept
every ten seconds, and while a broker ends nothing is logged: its sessions end with it.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

_AGAIN_AFTER_S = 10.0
_MOST_KINDS = 1000
_USUAL = (
    # A client disconnects while a message is sent to it, which stays in its session.
    "the handler is closed",
    # A client asks for MQTT 5 first, and then for what this broker speaks.
    "it speaks level 5 of MQTT",
)
_NUMBER = re.compile(r"(0x[0-9a-f]+|\d+)")
_SOURCES = (
    "amqtt.broker",
    "amqtt.mqtt.packet",
    "amqtt.mqtt.protocol.broker_handler",
    "amqtt.mqtt.protocol.handler",
    "amqtt.plugins.manager",
    "amqtt.session",
)


class _Noise(logging.Filter):
    """Drops repetitions, and what is no error."""

    def __init__(self) -> None:
        super().__init__()
        self.ending = 0
        self._logged_at: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if self.ending or any(each in text for each in _USUAL):
            return False
        kind, now = _NUMBER.sub("#", text), time.monotonic()
        if now - self._logged_at.get(kind, -_AGAIN_AFTER_S) < _AGAIN_AFTER_S:
            return False
        if len(self._logged_at) >= _MOST_KINDS:
            self._logged_at.clear()
        self._logged_at[kind] = now
        return True


_NOISE = _Noise()
for _source in _SOURCES:
    logging.getLogger(_source).addFilter(_NOISE)


@contextmanager
def nothing_logged() -> Iterator[None]:
    """Drop everything that amqtt logs meanwhile."""
    _NOISE.ending += 1
    try:
        yield
    finally:
        _NOISE.ending -= 1
