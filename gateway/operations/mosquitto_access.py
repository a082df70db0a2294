"""Files for mosquitto: who may use which topic, passwords, and what else an exchange needs set.

The client id of a connection is its user name, so that no account can end the session of another.
A device is a user of its own, ``account/device``, with the topics of its account; the exchange of
each area is one, too, ``exchange/area``.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Collection, Mapping, Sequence

from pydantic import SecretStr

from exchange.vocabulary.rules import EXCHANGE
from gateway.formats.faults import InputFaults
from gateway.messages.topics import Rights, Topics
from gateway.operations.accounts import Account, rights_in
from security_check.errors import Fault

ITERATIONS = 10_000
"""Of PBKDF2 with SHA-512: mosquitto derives a key at each connection, in its only thread."""
_SALT_BYTES = 12


def exchange_user(area: str) -> str:
    """Return the user name of an area's exchange."""
    return f"{EXCHANGE}/{area}"


def access_list(areas: Mapping[Topics, Collection[str]], accounts: Sequence[Account]) -> str:
    """Return mosquitto's ``acl_file``: rights of the exchanges and of every account.

    Parameters
    ----------
    areas
        The participants of each area.
    accounts
        All other users.
    """
    public = [topic for each in areas for topic in each.observer_rights().subscribe]
    lines = ["# Public, for every account:", *(f"pattern read {topic}" for topic in public)]
    for each in areas:
        lines += [f"user {exchange_user(each.area)}", *_lines_of(each.exchange_rights(), ())]
    for account in accounts:
        lines += [f"user {account.name}", *_lines_of(rights_in(account, areas), public)]
    return "\n".join(lines) + "\n"


def _lines_of(rights: Rights, public: Sequence[str]) -> list[str]:
    both = [topic for topic in rights.publish if topic in rights.subscribe]
    return [
        *(f"topic readwrite {topic}" for topic in both),
        *(f"topic write {topic}" for topic in rights.publish if topic not in both),
        *(f"topic read {topic}" for topic in rights.subscribe if topic not in (*both, *public)),
    ]


def password_file(areas: Sequence[str], exchange: SecretStr, accounts: Sequence[Account]) -> str:
    """Return mosquitto's ``password_file``; accounts without a password are not in it.

    Parameters
    ----------
    areas, exchange
        The areas, and the password of their exchanges.
    accounts
        All other users.

    Raises
    ------
    InputFaults
        When a name has a colon, which ends a name in that file.
    """
    entries = [(exchange_user(area), exchange) for area in areas]
    entries += [(each.name, each.password) for each in accounts if each.password is not None]
    faults = [
        Fault(name, "mosquitto's password file cannot hold a name with a colon")
        for name, _ in entries
        if ":" in name
    ]
    if faults:
        raise InputFaults("accounts", faults)
    return "".join(f"{name}:{_hashed(password)}\n" for name, password in entries)


def _hashed(password: SecretStr) -> str:
    """Return a password as mosquitto keeps it: scheme 7, iterations, salt, key."""
    salt = secrets.token_bytes(_SALT_BYTES)
    key = hashlib.pbkdf2_hmac("sha512", password.get_secret_value().encode(), salt, ITERATIONS)
    text = (base64.b64encode(each).decode() for each in (salt, key))
    return "$".join(["", "7", str(ITERATIONS), *text])


def configuration(folder: str, port: int) -> str:
    """Return a configuration for mosquitto that reads the other two files from a folder.

    Parameters
    ----------
    folder
        Where the files will be on the broker's machine.
    port
        Where the broker listens.
    """
    return (
        f"listener {port}\n"
        "allow_anonymous false\n"
        f"password_file {folder}/passwords\n"
        f"acl_file {folder}/acl\n"
        "# Without this an answer takes 40 ms longer.\n"
        "set_tcp_nodelay true\n"
        "# Without this another user can end a session by claiming its client id.\n"
        "use_username_as_clientid true\n"
        "# The defaults drop bursts, and let 20 messages be under way. Who subscribes to all\n"
        "# envelopes is sent one for each connection point and interval at once.\n"
        "max_queued_messages 400000\n"
        "max_inflight_messages 1000\n"
        "# No request has more than 8,192 bytes; answers and books have more.\n"
        "message_size_limit 1000000\n"
    )
