"""What can go wrong between the exchange and the world, as one tree.

::

    GatewayError
    ├── TransportError                the broker cannot be reached
    │   ├── BrokerRefusedError        it answered, and will not have us
    │   └── PublishRefusedError       it refused a message (MQTT 5 only)
    └── JournalError                  the journal cannot take or give what was asked
        ├── JournalUnavailableError   its server did not answer for too long
        ├── NotDurableError           its settings would lose acknowledged entries
        ├── LeaseHeldError            another writer holds the area
        ├── StaleWriterError          another writer has taken the area over
        ├── SequenceGapError          the entry does not follow the last one
        └── CorruptJournalError       what was read is no gap-free sequence of entries
"""

from __future__ import annotations


class GatewayError(Exception):
    """Base of everything that goes wrong between the exchange and the world."""


class TransportError(GatewayError):
    """The broker cannot be reached."""


class BrokerRefusedError(TransportError):
    """The broker answered, and refused the connection."""


class PublishRefusedError(TransportError):
    """The broker refused a message; the sentence names topic and reason."""


class JournalError(GatewayError):
    """The journal cannot take or give what was asked."""


class JournalUnavailableError(JournalError):
    """The journal's server did not answer for longer than we are ready to wait."""


class NotDurableError(JournalError):
    """The journal's server is set up so that acknowledged entries could be lost."""


class LeaseHeldError(JournalError):
    """Another writer holds the lease of this area."""


class StaleWriterError(JournalError):
    """Another writer has taken over the area; this one must stop."""


class SequenceGapError(JournalError):
    """An entry does not follow the last one in the journal."""


class CorruptJournalError(JournalError):
    """What was read from a journal is not a gap-free sequence of entries."""
