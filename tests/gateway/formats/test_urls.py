"""Addresses are shown without what must stay secret, and faulty ones are not repeated."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from gateway.formats.urls import shown_url
from gateway.journal.redis_link import connect
from gateway.operations.accounts import Account, Role
from gateway.operations.server_places import ServerPlaces
from gateway.transport.embedded_broker import BrokerAccount
from gateway.transport.mqtt_client import MqttSettings

SECRET = st.text(alphabet="Zz9%/?#@:[]&= ", min_size=1, max_size=12).map(lambda s: f"Qq{s}qQ")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:secret@redis.example:6379/0", "redis://redis.example:6379/0"),
        ("rediss://user:secret@[::1]:1/0#north", "rediss://[::1]:1/0#north"),
        ("unix:///run/redis.sock#a@b", "unix:///run/redis.sock#a@b"),
        ("unix://:secret@/run/redis.sock", "unix:///run/redis.sock"),
        ("redis://host/0?password=secret", "redis://host/0"),
        ("redis://:se/cret@host", "redis://..."),
        ("redis://user:12/secret@host", "redis://..."),
        ("mqtts://user:secret@broker:8883", "mqtts://broker:8883"),
        ("journal.jsonl", "journal.jsonl"),
        ("data/north", "data/north"),
    ],
)
def test_urls_are_shown_without_passwords(url: str, shown: str) -> None:
    assert shown_url(url) == shown


@given(SECRET, st.booleans(), st.sampled_from(["", "user"]))
def test_no_password_is_shown_however_it_is_written(secret: str, raw: bool, user: str) -> None:
    written = secret if raw else quote(secret, safe="")
    for url in (
        f"redis://{user}:{written}@host:6379/0",
        f"redis://host:6379/0?password={written}",
        f"mqtt://{user}:{written}@host:1883",
    ):
        assert "Qq" not in shown_url(url)
        assert "qQ" not in shown_url(url)
    for read in (connect, lambda url: MqttSettings.from_url(url, "me")):
        for scheme in ("redis", "mqtt", "other"):
            try:
                said = repr(read(f"{scheme}://{user}:{written}@host:1"))
            except ValueError as error:
                said = str(error)
            if read is not connect or "must look like" in said:  # the client's print is its own
                assert "Qq" not in said
                assert "qQ" not in said


def test_no_password_is_in_the_print_of_a_value() -> None:
    account = Account("a", Role.CUSTOMER, SecretStr("secret"))
    places = ServerPlaces("mqtt://a:secret@b", "redis://:secret@c", Path(), [account])
    assert "secret" not in repr(places)
    assert "secret" not in repr(account)
    assert "secret" not in repr(BrokerAccount("secret"))
    assert "secret" not in repr(MqttSettings.from_url("mqtt://a:secret@b", "me"))
