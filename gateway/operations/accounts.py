"""Who may connect to the broker: accounts with a role, and devices of each account.

An account's role and name decide its topics (:class:`gateway.messages.topics.Topics`), so nothing
that a client writes can make it another.  Each device has a client id and a password of its own:
``account/device``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from exchange.vocabulary.rules import EXCHANGE, METERING, OPERATOR, TSO
from gateway.formats.faults import InputFaults, sentences
from gateway.formats.identifiers import is_identifier
from gateway.formats.input_files import read_toml
from gateway.messages.topics import Rights, Topics
from security_check.errors import Fault


class Role(StrEnum):
    """What an account does in the market."""

    CUSTOMER = "customer"
    """Trades for its connection points."""
    AGGREGATOR = "aggregator"
    """Trades for the connection points of several customers, as one participant."""
    DSO = "dso"
    """Runs the network: the controls of the market operator, buy-back orders among them."""
    TSO = "tso"
    """Sets the limits at the interface."""
    METERING = "metering"
    """Submits meter readings."""
    OPERATOR = "operator"
    """Halts and resumes trading, sets limits of risk."""
    OBSERVER = "observer"
    """Reads what is public."""


_TRADERS = (Role.CUSTOMER, Role.AGGREGATOR)
_USUAL_ROLES = {TSO: Role.TSO, OPERATOR: Role.OPERATOR, METERING: Role.METERING}

Password = Annotated[SecretStr, Field(min_length=1, max_length=256)]


class _AccountEntry(BaseModel):
    """An account as the file has it."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    password: Password | None = None
    role: Annotated[Role | None, Field(strict=False)] = None
    devices: dict[str, Password] = {}


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the broker.

    Parameters
    ----------
    name
        The user name, which is its client id, too: ``account`` or ``account/device``.
    role
        What it does.
    password
        Its password; ``None`` where the broker knows it by its certificate.
    """

    name: str
    role: Role
    password: SecretStr | None

    @property
    def participant(self) -> str:
        """The account without the device."""
        return self.name.partition("/")[0]

    def rights(self, topics: Topics) -> Rights:
        """Return the topics that it may publish to and subscribe to."""
        match self.role:
            case Role.TSO:
                return topics.tso_rights()
            case Role.METERING:
                return topics.metering_rights()
            case Role.OPERATOR | Role.DSO:
                return topics.operator_rights()
            case Role.OBSERVER:
                return topics.observer_rights()
            case Role.CUSTOMER | Role.AGGREGATOR:
                return topics.participant_rights(self.participant)


def rights_in(account: Account, areas: Mapping[Topics, Collection[str]]) -> Rights:
    """Return the rights of an account in several areas.

    Parameters
    ----------
    account
        The account; one that trades has rights only where it is a participant.
    areas
        The participants of each area.
    """
    every = [
        account.rights(topics)
        for topics, participants in areas.items()
        if account.role not in _TRADERS or account.participant in participants
    ]
    publish = tuple(topic for each in every for topic in each.publish)
    return Rights(publish, tuple(topic for each in every for topic in each.subscribe))


def read_accounts(
    path: Path, owners: Mapping[str, str], requesters: Collection[str] = ()
) -> tuple[Account, ...]:
    """Return the accounts of a file, each followed by its devices.

    The file (TOML) has an entry for each account: its password, or a table with ``password``,
    ``role`` and ``devices``.  An account without a role has that of its name (``tso``,
    ``operator``, ``metering``), or is a customer.

    Parameters
    ----------
    path
        The file.
    owners
        The participant of each connection point.
    requesters
        Who may request flexibility, and needs no connection point for that.

    Raises
    ------
    InputFaults
        With all faults: accounts that own no connection point and yet would trade, names that may
        not stand in a topic, roles that the number of connection points contradicts.
    """
    written = read_toml(path)
    accounts: list[Account] = []
    faults: list[Fault] = []
    for name, given in written.items():
        try:
            entry = _AccountEntry.model_validate(
                {"password": given} if isinstance(given, str) else given
            )
        except ValidationError as error:
            faults += sentences(error, name, with_values=False)
            entry = _AccountEntry()
        role = entry.role or _USUAL_ROLES.get(name, Role.CUSTOMER)
        points = sum(owner == name for owner in owners.values())
        faults += _faults_of(name, role, points, entry.devices, requests=name in requesters)
        accounts.append(Account(name, role, entry.password))
        accounts += (Account(f"{name}/{each}", role, own) for each, own in entry.devices.items())
    if faults:
        raise InputFaults(str(path), faults)
    return tuple(accounts)


def _faults_of(
    name: str, role: Role, points: int, devices: Collection[str], *, requests: bool
) -> Iterator[Fault]:
    for part in (name, *devices):
        if not is_identifier(part):
            yield Fault(name, f"{part!r} may not stand in a topic or a client id")
    if name == EXCHANGE:
        yield Fault(name, "this name is the exchange's own")
    elif name in _USUAL_ROLES and role is not _USUAL_ROLES[name]:
        yield Fault(name, f"this name is that of the role {_USUAL_ROLES[name]}")
    elif role in _TRADERS and not (points or requests):
        yield Fault(name, f"it is a {role}, and there is no participant of that name")
    elif role is Role.AGGREGATOR and points < 2 and not requests:
        yield Fault(name, "it is an aggregator, and has one connection point only")
    elif role not in _TRADERS and (points or requests):
        yield Fault(name, f"it is a participant of the scenario, and cannot have the role {role}")
