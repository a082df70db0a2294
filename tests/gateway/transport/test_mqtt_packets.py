"""Packets, byte for byte as paho and amqtt write them, and read from pieces of any size."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from unittest.mock import Mock

import paho.mqtt.client as paho
import pytest
from amqtt.mqtt.connack import ConnackPacket
from amqtt.mqtt.pingresp import PingRespPacket
from amqtt.mqtt.puback import PubackPacket
from amqtt.mqtt.publish import PublishPacket
from amqtt.mqtt.pubrel import PubrelPacket
from amqtt.mqtt.suback import SubackPacket
from hypothesis import example, given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from gateway.errors import MalformedPacketError, TransportError
from gateway.ports import Outgoing
from gateway.transport import mqtt_packets, mqtt_reader
from gateway.transport.mqtt_packets import (
    connect_packet,
    disconnect_packet,
    puback_packets,
    publish_packet,
    reply_packet,
    subscribe_packet,
)
from gateway.transport.mqtt_reader import (
    ConnAck,
    Disconnect,
    Packet,
    PacketReader,
    PingResp,
    PubAck,
    Publish,
    PubRel,
    SubAck,
)

LARGE = 1_048_576
VERSIONS = st.sampled_from([4, 5])
IDS = st.integers(1, 65_535)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
TOPICS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0+#"), min_size=1, max_size=300
)
PAYLOADS = st.one_of(
    st.binary(max_size=50), st.integers(0, 40_000).map(lambda size: b"\xff" * size)
)
MESSAGES = st.builds(
    Outgoing, TOPICS, PAYLOADS, st.booleans(), st.none() | st.integers(0, 2**32 - 1)
)


class Paho(paho.Client):
    """paho's client, which keeps the packets that it would send."""

    def __init__(self, version: int, client_id: str = "x") -> None:
        super().__init__(
            paho.CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=None if version == 5 else False,
            protocol=paho.MQTTv5 if version == 5 else paho.MQTTv311,
        )
        self._clean_start = False
        self._sock = Mock()  # without a socket it would make no packet
        self.sent = b""

    def _packet_queue(self, command: int, packet: Any, *more: Any, **named: Any) -> Any:
        self.sent += bytes(packet)
        return paho.MQTT_ERR_SUCCESS


def properties(kind: int, **values: Any) -> Properties:
    made = Properties(kind)
    for name, value in values.items():
        setattr(made, name, value)
    return made


def message_properties(message: Outgoing, kind: int = PacketTypes.PUBLISH) -> Properties:
    made = properties(kind, ContentType="application/json")
    if message.expires_after_s is not None:
        made.MessageExpiryInterval = message.expires_after_s
    return made


def read(version: int, data: bytes, largest: int = LARGE) -> list[Packet]:
    return list(PacketReader(version, largest).feed(data))


@given(VERSIONS, MESSAGES, st.integers(0, 65_535), st.booleans())
def test_a_publish_is_that_of_paho_and_is_read_again(
    version: int, message: Outgoing, packet_id: int, again: bool
) -> None:
    again = again and packet_id > 0
    peer = Paho(version)
    peer._send_publish(
        packet_id,
        message.topic.encode(),
        message.payload,
        1 if packet_id else 0,
        message.retain,
        again,
        None,
        message_properties(message) if version == 5 else None,
    )
    own = publish_packet(version, message, packet_id, retain=message.retain, again=again)
    assert own == peer.sent
    qos = 1 if packet_id else 0
    assert read(version, own) == [
        Publish(message.topic, message.payload, qos, packet_id, message.retain)
    ]


@given(
    VERSIONS,
    TEXTS,
    st.integers(0, 65_535),
    st.none() | TEXTS.filter(bool),
    st.none() | TEXTS,
    st.none() | MESSAGES,
)
def test_a_connect_is_that_of_paho(
    version: int,
    client_id: str,
    keepalive_s: int,
    username: str | None,
    password: str | None,
    will: Outgoing | None,
) -> None:
    peer = Paho(version, client_id or "x")
    if username is not None:
        peer.username_pw_set(username, password)
    if will is not None:
        expiry = message_properties(will, PacketTypes.WILLMESSAGE) if version == 5 else None
        peer.will_set(will.topic, will.payload, 1, will.retain, expiry)
    peer._connect_properties = properties(
        PacketTypes.CONNECT, SessionExpiryInterval=60, ReceiveMaximum=7, MaximumPacketSize=9999
    )
    peer._send_connect(keepalive_s)
    own = connect_packet(
        version,
        client_id or "x",
        keepalive_s,
        (username, password),
        will,
        [
            (mqtt_packets.SESSION_EXPIRY, 60),
            (mqtt_packets.RECEIVE_MAXIMUM, 7),
            (mqtt_packets.MAXIMUM_PACKET_SIZE, 9999),
        ],
    )
    assert own == peer.sent


@given(VERSIONS, st.lists(TEXTS.filter(bool), min_size=1, max_size=5), st.booleans())
def test_a_subscribe_is_that_of_paho(version: int, filters: list[str], retained: bool) -> None:
    peer = Paho(version)
    if version == 5:
        options = SubscribeOptions(qos=1, retainHandling=0 if retained else 2)
        peer._send_subscribe(0, [(each.encode(), options) for each in filters])
    else:
        peer._send_subscribe(0, [(each.encode(), 1) for each in filters])
    assert subscribe_packet(version, peer._last_mid, filters, retained=retained) == peer.sent


@given(st.lists(IDS, max_size=5))
def test_acknowledgements_are_those_of_paho(packet_ids: list[int]) -> None:
    peer = Paho(5)
    for each in packet_ids:
        peer._send_puback(each)
    assert puback_packets(packet_ids) == peer.sent
    for each in packet_ids:
        peer.sent = b""
        peer._send_pubrec(each)
        assert reply_packet(mqtt_packets.PUBREC, each) == peer.sent
        peer.sent = b""
        peer._send_pubcomp(each)
        assert reply_packet(mqtt_packets.PUBCOMP, each) == peer.sent


def test_the_shortest_packets_are_those_of_paho() -> None:
    for version in (4, 5):
        peer = Paho(version)
        peer._send_disconnect()
        assert disconnect_packet(version) == peer.sent
    peer = Paho(5)
    peer._send_pingreq()
    assert peer.sent == mqtt_packets.PINGREQ


@pytest.mark.parametrize("topic", ["", "a/+", "#", "a\0b", "\ud800", "x" * 65_536, "ü" * 32_768])
@pytest.mark.parametrize("version", [4, 5])
def test_no_message_goes_to_a_topic_that_a_broker_would_not_take(topic: str, version: int) -> None:
    with pytest.raises(TransportError, match="topic"):
        publish_packet(version, Outgoing(topic, b""), 1, retain=False)
    with pytest.raises(TransportError, match="topic"):
        connect_packet(version, "x", 30, (None, None), Outgoing(topic, b""), ())


@pytest.mark.parametrize("expiry", [-1, 2**32])
def test_no_message_expires_at_a_time_that_cannot_be_written(expiry: int) -> None:
    with pytest.raises(TransportError, match=f"{expiry} s"):
        publish_packet(5, Outgoing("a", b"", expires_after_s=expiry), 1, retain=False)


def test_no_packet_is_larger_than_mqtt_allows() -> None:
    with pytest.raises(TransportError, match="268,435,455"):
        publish_packet(4, Outgoing("a", bytes(268_435_454)), 0, retain=False)


@pytest.mark.parametrize("long", ["client", "user", "password"])
def test_no_text_is_longer_than_its_length_can_say(long: str) -> None:
    texts = {name: "x" * 65_536 if name == long else "x" for name in ("client", "user", "password")}
    with pytest.raises(TransportError, match="65,536 bytes"):
        connect_packet(5, texts["client"], 1, (texts["user"], texts["password"]), None, ())


# ---- what a broker sends ----


@dataclass(frozen=True)
class Sent:
    """A packet as a broker writes it, and what it says."""

    data: bytes
    packet: Packet


def _packet(first: int, body: bytes) -> bytes:
    return bytes(Paho(4)._pack_remaining_length(bytearray([first]), len(body))) + body


def _publish_311(message: Outgoing, qos: int, number: int, dup: bool) -> Sent:
    packet_id = number if qos else 0
    made = PublishPacket.build(
        message.topic, message.payload, packet_id or None, dup, qos, message.retain
    )
    return Sent(
        made.to_bytes(), Publish(message.topic, message.payload, qos, packet_id, message.retain)
    )


BY_311 = st.one_of(
    st.builds(
        lambda present, code: Sent(
            ConnackPacket.build(int(present), code).to_bytes(), ConnAck(present, code, {})
        ),
        st.booleans(),
        st.integers(0, 255),
    ),
    st.builds(_publish_311, MESSAGES, st.integers(0, 2), IDS, st.booleans()),
    IDS.map(lambda each: Sent(PubackPacket.build(each).to_bytes(), PubAck(each, 0, ""))),
    IDS.map(lambda each: Sent(PubrelPacket.build(each).to_bytes(), PubRel(each))),
    st.builds(
        lambda number, codes: Sent(
            SubackPacket.build(number, codes).to_bytes(), SubAck(number, bytes(codes))
        ),
        IDS,
        st.lists(st.sampled_from([0, 1, 2, 0x80]), min_size=1, max_size=5),
    ),
    st.just(Sent(PingRespPacket.build().to_bytes(), PingResp())),
)

USER = st.lists(st.tuples(TEXTS, TEXTS), max_size=3)


def _publish_5(message: Outgoing, number: int, user: Any, more: dict[str, Any]) -> Sent:
    made = properties(PacketTypes.PUBLISH, **more)
    if user:
        made.UserProperty = user
    peer = Paho(5)
    peer._send_publish(
        number, message.topic.encode(), message.payload, 1, message.retain, False, None, made
    )
    return Sent(peer.sent, Publish(message.topic, message.payload, 1, number, message.retain))


def _answer_5(first: int, kind: int, number: int, reason: int, text: str, user: Any) -> Sent:
    made = properties(kind)
    if text:
        made.ReasonString = text
    if user:
        made.UserProperty = user
    head = number.to_bytes(2, "big") if first == 0x40 else b""
    body = head + bytes((reason,)) + made.pack()
    said: Packet = PubAck(number, reason, text) if first == 0x40 else Disconnect(reason, text)
    return Sent(_packet(first, body), said)


def _connack_5(present: bool, reason: int, user: Any, values: dict[str, int]) -> Sent:
    names = {
        "ReceiveMaximum": mqtt_packets.RECEIVE_MAXIMUM,
        "MaximumPacketSize": mqtt_packets.MAXIMUM_PACKET_SIZE,
        "MaximumQoS": mqtt_packets.MAXIMUM_QOS,
        "RetainAvailable": mqtt_packets.RETAIN_AVAILABLE,
        "ServerKeepAlive": mqtt_packets.SERVER_KEEPALIVE,
        "SessionExpiryInterval": mqtt_packets.SESSION_EXPIRY,
    }
    made = properties(PacketTypes.CONNACK, **values)
    if user:
        made.UserProperty = user
    said = ConnAck(present, reason, {names[name]: value for name, value in values.items()})
    return Sent(_packet(0x20, bytes((present, reason)) + made.pack()), said)


BY_5 = st.one_of(
    st.builds(
        _connack_5,
        st.booleans(),
        st.integers(0, 255),
        USER,
        st.fixed_dictionaries(
            {},
            optional={
                "ReceiveMaximum": st.integers(1, 65_535),
                "MaximumPacketSize": st.integers(1, 268_435_455),
                "MaximumQoS": st.integers(0, 1),
                "RetainAvailable": st.integers(0, 1),
                "ServerKeepAlive": st.integers(0, 65_535),
                "SessionExpiryInterval": st.integers(0, 2**32 - 1),
            },
        ),
    ),
    st.builds(
        _publish_5,
        MESSAGES,
        IDS,
        USER,
        st.fixed_dictionaries(
            {},
            optional={
                "PayloadFormatIndicator": st.integers(0, 1),
                "MessageExpiryInterval": st.integers(0, 2**32 - 1),
                "ContentType": TEXTS,
                "ResponseTopic": TEXTS,
                "CorrelationData": st.binary(max_size=30),
                "SubscriptionIdentifier": st.integers(1, 268_435_455),
            },
        ),
    ),
    st.builds(
        lambda *each: _answer_5(0x40, PacketTypes.PUBACK, *each),
        IDS,
        st.integers(0, 255),
        TEXTS,
        USER,
    ),
    st.builds(
        lambda *each: _answer_5(0xE0, PacketTypes.DISCONNECT, 0, *each),
        st.integers(0, 255),
        TEXTS,
        USER,
    ),
    st.builds(
        lambda number, codes: Sent(
            _packet(0x90, number.to_bytes(2, "big") + b"\0" + bytes(codes)),
            SubAck(number, bytes(codes)),
        ),
        IDS,
        st.lists(st.integers(0, 255), min_size=1, max_size=5),
    ),
    IDS.map(lambda each: Sent(_packet(0x40, each.to_bytes(2, "big")), PubAck(each, 0, ""))),
    IDS.map(lambda each: Sent(_packet(0x62, each.to_bytes(2, "big")), PubRel(each))),
    st.just(Sent(b"\xe0\x00", Disconnect(0, ""))),
    st.just(Sent(b"\xd0\x00", PingResp())),
)
STREAMS = st.one_of(
    st.tuples(st.just(4), st.lists(BY_311, max_size=6)),
    st.tuples(st.just(5), st.lists(BY_5, max_size=6)),
)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({min(each, len(data)) for each in cuts} | {0, len(data)})
    return [data[a:b] for a, b in pairwise(places)]


@given(STREAMS, st.lists(st.integers(0, 2000), max_size=30))
def test_a_stream_is_read_alike_however_it_is_cut(
    stream: tuple[int, list[Sent]], cuts: list[int]
) -> None:
    version, packets = stream
    data = b"".join(each.data for each in packets)
    reader = PacketReader(version, LARGE)
    found = [packet for piece in pieces(data, cuts) for packet in reader.feed(piece)]
    assert found == [each.packet for each in packets]
    assert [type(each) for each in found] == [type(each.packet) for each in packets]
    reader = PacketReader(version, LARGE)
    each_byte = [data[k : k + 1] for k in range(len(data))] if len(data) < 3000 else [data]
    assert [packet for piece in each_byte for packet in reader.feed(piece)] == found


def outcome(version: int, chunks: list[bytes]) -> tuple[list[Packet], str]:
    reader, found = PacketReader(version, LARGE), []
    try:
        for each in chunks:
            for packet in reader.feed(each):
                found.append(packet)  # noqa: PERF402  # what came before an error counts
    except MalformedPacketError as error:
        return found, str(error)
    return found, ""


@given(VERSIONS, st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=10))
@example(5, bytes.fromhex("30 03 00 01 61"), [])  # properties are missing
@example(5, bytes.fromhex("40 04 00 01 10 ff"), [])
@example(5, bytes.fromhex("20 04 00 00 05 21"), [])
@example(5, bytes.fromhex("d0 80 80 80 80 01"), [2])
@example(4, bytes.fromhex("32 02 ff ff"), [1])
def test_any_bytes_are_packets_or_malformed_however_they_are_cut(
    version: int, data: bytes, cuts: list[int]
) -> None:
    assert outcome(version, pieces(data, cuts)) == outcome(version, [data])


@given(STREAMS, st.data())
def test_a_damaged_stream_is_packets_or_malformed(
    stream: tuple[int, list[Sent]], draw: st.DataObject
) -> None:
    version, packets = stream
    data = bytearray(b"".join(each.data for each in packets))
    if data:
        for _ in range(draw.draw(st.integers(1, 4))):
            place = draw.draw(st.integers(0, min(len(data) - 1, 400)))
            data[place] = draw.draw(st.integers(0, 255))
    cuts = draw.draw(st.lists(st.integers(0, 500), max_size=8))
    assert outcome(version, pieces(bytes(data), cuts)) == outcome(version, [bytes(data)])


MALFORMED = {
    "a CONNECT": (4, "10 00", "packet 0x10, which"),
    "quality of service 3": (5, "36 05 00 01 61 00 01", "packet 0x36, which"),
    "a PUBREC": (5, "50 02 00 01", "packet 0x50, which"),
    "flags of a PUBREL": (4, "60 02 00 01", "packet 0x60, which"),
    "a DISCONNECT of 3.1.1": (4, "e0 00", "DISCONNECT"),
    "a long length": (4, "30 ff ff ff ff 01", "more than four bytes"),
    "a large PINGRESP": (4, "d0 01 00", "PINGRESP"),
    "packet id 0": (4, "32 05 00 01 61 00 00", "packet id 0"),
    "PUBACK of packet id 0": (4, "40 02 00 00", "packet id 0"),
    "short PUBACK": (4, "40 01 00", "1 bytes"),
    "long PUBACK of 3.1.1": (4, "40 03 00 01 00", "3 bytes"),
    "topic beyond its packet": (4, "30 03 00 05 61", "ends 4 bytes early"),
    "no topic": (4, "30 01 00", "early"),
    "an accepting CONNACK without properties": (5, "20 02 00 00", "within a number"),
    "receive maximum 0": (5, "20 06 00 00 03 21 00 00", "property 33 is 0"),
    "a property twice": (5, "20 07 00 00 04 24 01 24 01", "property 36 twice"),
    "an unknown property": (5, "20 05 00 00 02 7f 01", "unknown property 127"),
    "properties beyond their packet": (5, "20 05 00 00 09 24 01", "exceed their packet"),
    "a property beyond the others": (5, "20 05 00 00 02 21 01", "exceeds the others"),
    "a text beyond the others": (5, "20 06 00 00 03 1f 00 05", "exceeds the others"),
    "half a length": (5, "20 05 00 00 02 1f 00", "within its length"),
    "a topic alias": (5, "30 07 00 01 61 03 23 00 01", "topic alias"),
    "a large CONNACK": (4, "20 81 80 08" + " 00" * 20, "packet 0x20 of 131,073"),
}


@pytest.mark.parametrize(("version", "data", "words"), MALFORMED.values(), ids=MALFORMED)
def test_what_a_broker_may_not_send_is_named(version: int, data: str, words: str) -> None:
    with pytest.raises(MalformedPacketError, match=words):
        read(version, bytes.fromhex(data), largest=100_000)


def test_a_refusal_in_the_form_of_311_is_read_by_5() -> None:
    assert read(5, bytes.fromhex("20 02 00 01")) == [ConnAck(False, 1, {})]


@pytest.mark.parametrize("version", [4, 5])
def test_text_that_is_not_utf8_does_not_end_a_connection(version: int) -> None:
    user_property = "08 26 00 02 ff fe 00 01 ff" if version == 5 else ""
    body = bytes.fromhex(f"00 02 61 ff 00 07 {user_property}") + b"x"
    assert read(version, _packet(0x32, body)) == [Publish("", b"x", 1, 7, False)]


@pytest.mark.parametrize("version", [4, 5])
@given(data=st.data())
def test_of_a_message_that_is_too_large_the_beginning_is_kept(
    version: int, data: st.DataObject
) -> None:
    largest = data.draw(st.sampled_from([1, 131_072, 200_000]))
    kept = max(largest, 131_072)
    size = kept + data.draw(st.integers(-20, 70_000))
    message = Outgoing("a/b", bytes(size))
    packets = [publish_packet(version, message, k, retain=False) for k in (0, 9)]
    stream = b"".join((*packets, b"\xd0\x00"))
    even = st.integers(5_000, 70_000).map(lambda size: list(range(0, len(stream), size)))
    cuts = data.draw(even | st.lists(st.integers(0, len(stream)), max_size=6))
    reader = PacketReader(version, largest)
    found = [packet for piece in pieces(stream, cuts) for packet in reader.feed(piece)]
    assert found[2:] == [PingResp()]
    for k, packet_id in enumerate((0, 9)):
        message_found = found[k]
        assert isinstance(message_found, Publish)
        head = len(packets[k]) - size  # its fixed header has 4 bytes
        whole = len(packets[k]) - 4
        kept_payload = size if whole <= kept else kept - (head - 4)
        assert message_found.packet_id == packet_id
        assert len(message_found.payload) == kept_payload


def test_every_width_is_that_of_paho() -> None:
    """The table of properties, against that of another program."""
    made = Properties(PacketTypes.PUBLISH)
    kinds = {name: made.types[kind] for name, (kind, _) in made.properties.items()}
    numbers = {"Byte": 1, "Two Byte Integer": 2, "Four Byte Integer": 4}
    assert dict(mqtt_packets.WIDTHS) == {
        name: numbers[kind] for name, kind in kinds.items() if kind in numbers
    }
    assert set(mqtt_reader._LENGTH_AND_BYTES) == {
        name for name, kind in kinds.items() if kind in ("UTF-8 Encoded String", "Binary Data")
    }
