"""The address of an MQTT broker, the account, and limits of unconfirmed messages."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote

from gateway.formats.urls import split_url


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """The address of a broker, the account, and limits of unconfirmed messages.

    Parameters
    ----------
    host, port, username, password, tls
        The broker and the account.
    client_id
        Name of the persistent session: two connections must not share it.
    version
        5, 4 (which is 3.1.1), or ``None``: ask for 5 and fall back to 3.1.1.
    inflight_in, inflight_out
        Largest number of messages received, or published, without acknowledgement.
    largest_packet
        Bytes of the largest packet that a broker of MQTT 5 may send, and that is read whole.  Of a
        larger message from a broker of 3.1.1 the beginning is kept.
    session_expiry_s
        Time for which the broker keeps the session without a connection (MQTT 5; with 3.1.1 the
        broker decides).  With 0 each connection begins a new session, which ends with it.
    keepalive_s
        Twice the time between two pings; a broker that does not answer one before the next is
        gone.  0 means no pings.  A broker of MQTT 5 may ask for another time.
    connect_within_s, answer_within_s
        Time for the first connection, all attempts together (later ones are tried without end),
        and for each attempt, from the first packet on the wire to the broker's answer.
    longest_backoff_s
        Longest time between two attempts.
    """

    host: str
    port: int
    client_id: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    version: int | None = None
    inflight_in: int = 2000
    inflight_out: int = 500
    largest_packet: int = 1_048_576
    session_expiry_s: int = 86_400
    keepalive_s: int = 30
    connect_within_s: float = 20.0
    answer_within_s: float = 5.0
    longest_backoff_s: float = 10.0

    @classmethod
    def from_url(cls, url: str, client_id: str) -> MqttSettings:
        """Read ``mqtt://user:password@host:port`` or ``mqtts://...``.

        Raises
        ------
        ValueError
            When it is not such a URL; the message does not repeat the password.
        """
        form = "mqtt[s]://user:password@host:port"
        parts = split_url("broker's URL", url, ("mqtt", "mqtts"), form)
        if not parts.hostname or parts.path.strip("/"):
            raise ValueError(f"the broker's URL must look like {form}")
        tls = parts.scheme == "mqtts"
        return cls(
            host=parts.hostname,
            port=parts.port or (8883 if tls else 1883),
            client_id=client_id,
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            tls=tls,
        )
