"""The packets of MQTT 3.1.1 and 5 that a broker sends to a client, from pieces of any size.

:class:`PacketReader` has no socket and no clock.  It is strict about structure and lenient about
content: a participant must not be able to end the exchange's connection by text that a broker
passes on without looking at it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from gateway.errors import MalformedPacketError
from gateway.transport.mqtt_packets import (
    CONTENT_TYPE,
    MAXIMUM_PACKET_SIZE,
    REASON_STRING,
    RECEIVE_MAXIMUM,
    TOPIC_ALIAS,
    WIDTHS,
)

_CONNACK, _PUBACK, _PUBREL = 0x20, 0x40, 0x62
_SUBACK, _PINGRESP, _DISCONNECT = 0x90, 0xD0, 0xE0
_PUBLISH = tuple(first for first in range(0x30, 0x40) if first >> 1 & 3 != 3)
_KNOWN = frozenset((_CONNACK, _PUBACK, _PUBREL, _SUBACK, _PINGRESP, _DISCONNECT, *_PUBLISH))
_SMALLEST_CUT = 131_072  # bytes; topic and packet id are within them
_LENGTH_AND_BYTES = frozenset((CONTENT_TYPE, 8, 9, 18, 21, 22, 26, 28, REASON_STRING))
_NEVER_ZERO = frozenset((RECEIVE_MAXIMUM, MAXIMUM_PACKET_SIZE, TOPIC_ALIAS))
_USER_PROPERTY, _SUBSCRIPTION_IDENTIFIER = 38, 11

Properties = dict[int, int | bytes]
"""Values by identifier; user properties and subscription identifiers are left out."""


class ConnAck(NamedTuple):
    """The broker's answer to CONNECT."""

    session_present: bool
    reason: int
    properties: Properties


class Publish(NamedTuple):
    """A message; ``packet_id`` is 0 at quality of service 0.

    ``topic`` is empty where its bytes are not UTF-8.  ``payload`` ends early where the packet was
    larger than the reader takes.
    """

    topic: str
    payload: bytes
    qos: int
    packet_id: int
    retain: bool


class PubAck(NamedTuple):
    """The broker has a message, or refuses it."""

    packet_id: int
    reason: int
    text: str


class PubRel(NamedTuple):
    """The broker knows that a message at quality of service 2 was received."""

    packet_id: int


class SubAck(NamedTuple):
    """A code for each filter: the quality of service granted, or a failure."""

    packet_id: int
    codes: bytes


class PingResp(NamedTuple):
    """The answer to PINGREQ."""


class Disconnect(NamedTuple):
    """The broker ends the connection (MQTT 5)."""

    reason: int
    text: str


Packet = ConnAck | Publish | PubAck | PubRel | SubAck | PingResp | Disconnect


class PacketReader:
    """Reads a broker's packets from pieces of any size.

    Parameters
    ----------
    version
        5, or 4 for 3.1.1.
    largest
        Bytes of the largest packet that is read whole.  Of a larger PUBLISH the beginning is kept
        and the rest is dropped as it comes; another packet of that size is malformed.
    """

    def __init__(self, version: int, largest: int) -> None:
        self._version = version
        self._largest = max(largest, _SMALLEST_CUT)
        self._rest = bytearray()
        self._needed = 2
        self._drop = 0

    def feed(self, data: bytes) -> Iterator[Packet]:
        """Yield the packets that are complete with these bytes; read them all before the next.

        Raises
        ------
        MalformedPacketError
            Where the bytes are none that a broker may send to this client; the stream is over.
        """
        if self._drop:
            dropped = min(self._drop, len(data))
            self._drop -= dropped
            data = data[dropped:]
            if not data:
                return
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return
            data, self._rest = bytes(self._rest), bytearray()
        start, end = 0, len(data)
        while start < end:
            body, size = _body(data, start, end)
            whole = body + size
            stop = whole
            if size > self._largest:
                if data[start] >> 4 != 3:
                    raise MalformedPacketError(f"a packet {data[start]:#04x} of {size:,} bytes")
                stop = body + self._largest
            if body > end or stop > end:
                self._rest += data[start:]
                self._needed = stop - start
                return
            yield _read(data, start, body, stop, self._version)
            start = whole
        self._drop = max(0, start - end)


def _body(data: bytes, start: int, end: int) -> tuple[int, int]:
    """Return where the body of a packet begins, after ``end`` if that is not known, and its size.

    The first byte is looked at before the rest is there: garbage must not make a client wait.
    """
    if data[start] not in _KNOWN:
        raise MalformedPacketError(f"a packet {data[start]:#04x}, which is not for a client")
    size = shift = 0
    for at in range(start + 1, min(start + 5, end)):
        size |= (data[at] & 0x7F) << shift
        if data[at] < 0x80:
            return at + 1, size
        shift += 7
    if end - start >= 5:
        raise MalformedPacketError("a length of more than four bytes")
    return end + 1, 0


def _read(data: bytes, start: int, at: int, end: int, version: int) -> Packet:
    """Return the packet that begins at ``start`` and whose body is between ``at`` and ``end``."""
    first = data[start]
    if first >> 4 == 3:
        return _read_publish(first, data, at, end, version)
    size = end - at
    if first == _PINGRESP:
        if size:
            raise MalformedPacketError("a PINGRESP with content")
        return PingResp()
    if first == _DISCONNECT:
        if version != 5:
            raise MalformedPacketError("a DISCONNECT from a broker of MQTT 3.1.1")
        reason, text = _reason(data, at, end)
        return Disconnect(reason, text)
    if size < 2:
        raise MalformedPacketError(f"a packet {first:#04x} of {size} bytes")
    number = data[at] << 8 | data[at + 1]
    if first == _CONNACK:
        return _read_connack(data, at, end, version)
    if number == 0:
        raise MalformedPacketError(f"a packet {first:#04x} with packet id 0")
    if first == _PUBREL:
        return PubRel(number)
    if first == _PUBACK:
        if size == 2:
            return PubAck(number, 0, "")
        if version != 5:
            raise MalformedPacketError(f"a PUBACK of {size} bytes")
        return PubAck(number, *_reason(data, at + 2, end))
    codes = read_properties(data, at + 2, end)[1] if version == 5 else at + 2
    return SubAck(number, data[codes:end])


def _read_connack(data: bytes, at: int, end: int, version: int) -> ConnAck:
    reason = data[at + 1]
    if version != 5 or (reason and end - at == 2):
        # Brokers of 3.1.1 refuse MQTT 5 in the form of their own version, without properties.
        return ConnAck(bool(data[at] & 1), reason, {})
    return ConnAck(bool(data[at] & 1), reason, read_properties(data, at + 2, end)[0])


def _read_publish(first: int, data: bytes, at: int, end: int, version: int) -> Publish:
    begin = at + 2
    topic_end = begin + (data[at] << 8 | data[at + 1]) if begin <= end else begin
    qos = first >> 1 & 3
    at = topic_end + 2 if qos else topic_end
    if at > end:
        raise MalformedPacketError(f"a PUBLISH that ends {at - end} bytes early")
    packet_id = data[at - 2] << 8 | data[at - 1] if qos else 0
    if qos and not packet_id:
        raise MalformedPacketError(f"a PUBLISH at quality of service {qos} with packet id 0")
    if version == 5:
        properties, at = read_properties(data, at, end)
        if TOPIC_ALIAS in properties:
            raise MalformedPacketError("a topic alias, though none is accepted", 0x94)
    try:
        topic = data[begin:topic_end].decode()
    except UnicodeDecodeError:
        topic = ""
    return Publish(topic, data[at:end], qos, packet_id, bool(first & 1))


def _reason(data: bytes, at: int, end: int) -> tuple[int, str]:
    """Return reason code and text of a packet that may leave out either."""
    if at == end:
        return 0, ""
    properties = read_properties(data, at + 1, end)[0] if end - at > 1 else {}
    text = properties.get(REASON_STRING, b"")
    assert isinstance(text, bytes)
    return data[at], text.decode(errors="replace")


def read_properties(data: bytes, at: int, end: int) -> tuple[Properties, int]:
    """Return properties, texts as bytes, and where they end.

    Raises
    ------
    MalformedPacketError
        Where one is unknown, comes twice, is 0 though it must not be, or exceeds the packet.
    """
    size, at = _number(data, at, end)
    if not size:
        return {}, at
    stop = at + size
    if stop > end:
        raise MalformedPacketError(f"properties that exceed their packet by {stop - end} bytes")
    found: Properties = {}
    while at < stop:
        name = data[at]
        at += 1
        if name in found:
            raise MalformedPacketError(f"the property {name} twice", 0x82)
        if width := WIDTHS.get(name):
            value = int.from_bytes(data[at : at + width], "big")
            at += width
            if not value and name in _NEVER_ZERO:
                raise MalformedPacketError(f"the property {name} is 0", 0x82)
            found[name] = value
        elif name in _LENGTH_AND_BYTES:
            begin, at = at + 2, _after_bytes(data, at, stop)
            found[name] = data[begin:at]
        elif name == _USER_PROPERTY:
            at = _after_bytes(data, _after_bytes(data, at, stop), stop)
        elif name == _SUBSCRIPTION_IDENTIFIER:
            _, at = _number(data, at, stop)
        else:
            raise MalformedPacketError(f"the unknown property {name}")
    if at > stop:
        raise MalformedPacketError(f"a property that exceeds the others by {at - stop} bytes")
    return found, stop


def _after_bytes(data: bytes, at: int, stop: int) -> int:
    """Return where bytes end that come after their length."""
    if at + 2 > stop:
        raise MalformedPacketError("a property that ends within its length")
    return at + 2 + (data[at] << 8 | data[at + 1])


def _number(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Return a variable byte integer and where it ends."""
    value = 0
    for shift in range(0, 28, 7):
        if at >= end:
            raise MalformedPacketError("a packet that ends within a number")
        value |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            return value, at
    raise MalformedPacketError("a number of more than four bytes")
