"""Errors of broker, journal and exchange, as one tree.

::

    GatewayError
    ├── TransportError                the broker cannot be reached
    │   ├── BrokerRefusedError        the broker refused the connection
    │   ├── PublishRefusedError       no broker takes the message, or this one refused it
    │   ├── MalformedPacketError      the broker sent what MQTT does not allow
    │   └── UnfitLibraryError         a library has another version than we can use
    ├── RequestRefusedError           the exchange has answered a request, and refused it
    └── JournalError                  the journal cannot be written or read
        ├── JournalUnavailableError   its server did not answer for too long
        ├── AccessRefusedError        its server refused the account or the password
        ├── NotDurableError           its settings could lose acknowledged entries
        ├── LeaseHeldError            another writer holds the area
        ├── StaleWriterError          another writer has taken the area over
        ├── SequenceGapError          the entry does not follow the last one
        ├── LostEntriesError          its end is not the one that was written last
        └── CorruptJournalError       its entries are not valid and gap-free
"""

from __future__ import annotations


class GatewayError(Exception):
    """Base of all errors of broker, journal and exchange."""


class TransportError(GatewayError):
    """The broker cannot be reached."""


class BrokerRefusedError(TransportError):
    """The broker answered, and refused the connection."""


class PublishRefusedError(TransportError):
    """The broker refused a message, or no broker would take it; the text names topic and reason."""


class MalformedPacketError(TransportError):
    """The broker sent what MQTT does not allow.

    Parameters
    ----------
    what
        What it sent.
    code
        The reason code of MQTT 5 for it.
    """

    def __init__(self, what: str, code: int = 0x81) -> None:
        super().__init__(f"the broker sent {what}")
        self.code = code


class UnfitLibraryError(TransportError):
    """A library of another version than we can use; the text names it and what it lacks."""


class RequestRefusedError(GatewayError):
    """The exchange has answered a request, and refused it.

    Parameters
    ----------
    request_id
        The id of the request, ``None`` where it has no readable one.
    reason
        One of the reasons of ``docs/formats/messages.md#reasons``.
    detail
        A sentence with the numbers.
    """

    def __init__(self, request_id: str | None, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.request_id = request_id
        self.reason = reason
        self.detail = detail


class JournalError(GatewayError):
    """The journal cannot be written or read."""


class JournalUnavailableError(JournalError):
    """The journal's server did not answer within the time allowed."""


class AccessRefusedError(JournalError):
    """The journal's server refused the account, the password, or a command."""


class NotDurableError(JournalError):
    """The journal's server has settings with which acknowledged entries could be lost."""


class LeaseHeldError(JournalError):
    """Another writer holds the lease of this area."""


class StaleWriterError(JournalError):
    """Another writer has taken over the area; this one must stop."""


class SequenceGapError(JournalError):
    """An entry does not follow the last one in the journal."""


class LostEntriesError(JournalError):
    """The journal does not end with the entry written last; the text names both ends."""


class CorruptJournalError(JournalError):
    """A journal is not a gap-free sequence of valid entries."""
