"""The packets of MQTT 3.1.1 and 5 that a client sends, as bytes: no sockets, no clock, no state.

CONNECT, SUBSCRIBE, PUBLISH, acknowledgements, PINGREQ and DISCONNECT.  What a broker sends is read
by :mod:`gateway.transport.mqtt_reader`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from gateway.errors import TransportError
from gateway.ports import Outgoing

PUBREC, PUBCOMP = 0x50, 0x70
PINGREQ = b"\xc0\x00"
FIRST_FAILURE = 0x80  # reason codes from here on are failures; also that of SUBACK in 3.1.1
SUBSCRIBE_ID = 65_535  # the packet id of a SUBSCRIBE; no message is published under it
_LONGEST_FIELD = 65_535  # bytes of a text or of binary data
_LARGEST_BODY = 268_435_455  # bytes after a packet's length

# Identifiers of properties (MQTT 5, section 2.2.2.2), and how many bytes a number has.
MESSAGE_EXPIRY, CONTENT_TYPE, SESSION_EXPIRY, SERVER_KEEPALIVE = 2, 3, 17, 19
REASON_STRING, RECEIVE_MAXIMUM, TOPIC_ALIAS, MAXIMUM_QOS = 31, 33, 35, 36
RETAIN_AVAILABLE, MAXIMUM_PACKET_SIZE = 37, 39
WIDTHS: Mapping[int, int] = {
    **dict.fromkeys((1, 23, 25, MAXIMUM_QOS, RETAIN_AVAILABLE, 40, 41, 42), 1),
    **dict.fromkeys((SERVER_KEEPALIVE, RECEIVE_MAXIMUM, 34, TOPIC_ALIAS), 2),
    **dict.fromkeys((MESSAGE_EXPIRY, SESSION_EXPIRY, 24, MAXIMUM_PACKET_SIZE), 4),
}

REASONS: Mapping[int, str] = {
    1: "unacceptable protocol version",
    2: "client id rejected",
    3: "server unavailable",
    4: "bad user name or password",
    5: "not authorised",
    0x80: "unspecified error",
    0x81: "malformed packet",
    0x82: "protocol error",
    0x83: "implementation specific error",
    0x84: "unsupported protocol version",
    0x85: "client id not valid",
    0x86: "bad user name or password",
    0x87: "not authorised",
    0x88: "server unavailable",
    0x89: "server busy",
    0x8A: "banned",
    0x8B: "server shutting down",
    0x8C: "bad authentication method",
    0x8D: "keepalive timeout",
    0x8E: "another client took the session over",
    0x8F: "topic filter invalid",
    0x90: "topic name invalid",
    0x93: "receive maximum exceeded",
    0x94: "topic alias invalid",
    0x95: "packet too large",
    0x96: "message rate too high",
    0x97: "quota exceeded",
    0x98: "administrative action",
    0x99: "payload format invalid",
    0x9A: "retain not supported",
    0x9B: "quality of service not supported",
    0x9C: "use another server",
    0x9D: "server moved",
    0x9F: "connection rate exceeded",
}


def reason_text(code: int, text: str = "") -> str:
    """Return a reason code of either version for people, with what the broker added."""
    named = f"{REASONS.get(code, 'reason code')} ({code:#04x})"
    return f"{named}: {text}" if text else named


def connect_packet(
    version: int,
    client_id: str,
    keepalive_s: int,
    account: tuple[str | None, str | None],
    will: Outgoing | None,
    properties: Sequence[tuple[int, int]],
    *,
    clean: bool = False,
) -> bytes:
    """Return a CONNECT that takes up a persistent session, or (``clean``) begins a new one.

    Parameters
    ----------
    version
        5, or 4 for 3.1.1.
    account
        User name and password; there is no password without a user name.
    will
        Published at quality of service 1.
    properties
        Numbers by identifier (MQTT 5).

    Raises
    ------
    TransportError
        Where a text is too long or not valid Unicode.
    """
    username, password = account
    flags = 0x02 if clean else 0
    fields = [_text("client id", client_id)]
    if will is not None:
        flags |= 0x04 | 1 << 3 | will.retain << 5
        if version == 5:
            fields.append(_publish_properties(will.expires_after_s))
        fields += [_topic(will.topic), _field("payload of the last will", will.payload)]
    if username is not None:
        flags |= 0x80
        fields.append(_text("user name", username))
        if password is not None:
            flags |= 0x40
            fields.append(_text("password", password))
    head = b"\0\4MQTT" + bytes((version, flags)) + keepalive_s.to_bytes(2, "big")
    if version == 5:
        encoded = b"".join(
            bytes((name,)) + value.to_bytes(WIDTHS[name], "big") for name, value in properties
        )
        head += _length(len(encoded)) + encoded
    return _packet(0x10, [head, *fields])


def subscribe_packet(
    version: int, packet_id: int, filters: Sequence[str], *, retained: bool
) -> bytes:
    """Return a SUBSCRIBE at quality of service 1.

    ``retained``: whether the broker sends retained messages (3.1.1 has no choice: it does).
    """
    options = bytes((1 if retained or version != 5 else 1 | 2 << 4,))
    fields = [packet_id.to_bytes(2, "big") + (b"\0" if version == 5 else b"")]
    for each in filters:
        fields += [_text("topic filter", each), options]
    return _packet(0x82, fields)


def publish_packet(
    version: int, message: Outgoing, packet_id: int, *, retain: bool, again: bool = False
) -> bytes:
    """Return a PUBLISH, at quality of service 1 or, with packet id 0, at quality of service 0.

    Raises
    ------
    TransportError
        Where the message is none that a broker would take: it would close the connection.
    """
    first = 0x30 | retain
    fields = [_topic(message.topic)]
    if packet_id:
        first |= 0x0A if again else 0x02
        fields.append(packet_id.to_bytes(2, "big"))
    if version == 5:
        fields.append(_publish_properties(message.expires_after_s))
    fields.append(message.payload)
    return _packet(first, fields)


def puback_packets(packet_ids: Sequence[int]) -> bytes:
    """Return a PUBACK for each message received at quality of service 1."""
    return b"".join(b"\x40\x02" + each.to_bytes(2, "big") for each in packet_ids)


def reply_packet(kind: int, packet_id: int) -> bytes:
    """Return a PUBREC or PUBCOMP for a message received at quality of service 2."""
    return bytes((kind, 2)) + packet_id.to_bytes(2, "big")


def disconnect_packet(version: int, reason: int = 0) -> bytes:
    """Return a DISCONNECT; after one without a reason the broker forgets the last will."""
    if version != 5:
        # 3.1.1 has no reasons: closing without a DISCONNECT is how a client says that it failed.
        return b"" if reason else b"\xe0\x00"
    return bytes((0xE0, 1, reason)) if reason else b"\xe0\x00"


@lru_cache(maxsize=1024)
def _topic(topic: str) -> bytes:
    """Return the name of a topic as a field; a filter, or nothing, is no name."""
    if not topic or "+" in topic or "#" in topic or "\0" in topic:
        raise TransportError(f"no message can be published to the topic {topic[:200]!r}")
    return _text("topic", topic)


def _text(what: str, text: str) -> bytes:
    try:
        return _field(what, text.encode())
    except UnicodeEncodeError:
        raise TransportError(f"the {what} is not valid Unicode") from None


def _field(what: str, content: bytes) -> bytes:
    size = len(content)
    if size > _LONGEST_FIELD:
        raise TransportError(f"the {what} has {size:,} bytes, and MQTT allows {_LONGEST_FIELD:,}")
    return size.to_bytes(2, "big") + content


@lru_cache(maxsize=256)
def _publish_properties(expires_after_s: int | None) -> bytes:
    """Return the properties of all messages that expire alike: there are few such times."""
    expiry = b""
    if expires_after_s is not None:
        if not 0 <= expires_after_s < 2**32:
            raise TransportError(f"a message cannot expire after {expires_after_s} s")
        expiry = bytes((MESSAGE_EXPIRY,)) + expires_after_s.to_bytes(4, "big")
    content_type = bytes((CONTENT_TYPE,)) + _field("content type", b"application/json")
    return _length(len(expiry) + len(content_type)) + expiry + content_type


def _packet(first: int, fields: list[bytes]) -> bytes:
    size = sum(map(len, fields))
    return b"".join((bytes((first,)), _length(size), *fields))


def _length(size: int) -> bytes:
    """Return a length as MQTT's variable byte integer."""
    if size < 0x80:
        return bytes((size,))
    if size > _LARGEST_BODY:
        raise TransportError(f"a packet of {size:,} bytes: MQTT allows {_LARGEST_BODY:,}")
    encoded = bytearray()
    while size >= 0x80:
        encoded.append(size & 0x7F | 0x80)
        size >>= 7
    encoded.append(size)
    return bytes(encoded)
