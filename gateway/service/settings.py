"""Settings of the service's loop: batches, periods, and waiting times."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """Settings of the loop; the defaults suit two cores.

    Parameters
    ----------
    batch_messages, batch_s
        Largest number of messages in a batch, and longest duration; the first reached ends it.
    unconfirmed_batches
        Batches that may wait for the broker's confirmation; with more, no message is handled.
    snapshot_entries
        Entries between two snapshots.
    tick_s
        Seconds between two looks at the clock.
    depth_changes_s, depth_s, heartbeat_s
        Seconds between changes of the same book, between full snapshots of changed books, and
        between session messages.
    renew_s
        Seconds between renewals of the journal's lease.
    probe_s, silent_after_s
        Seconds between messages of the exchange to itself, and without one coming back: then the
        exchange connects anew.
    messages_per_second, burst
        Rate of the messages of each participant, of the TSO and of the market operator, and how
        many may come at once; what is beyond is refused before it is read.
    readings_per_second, reading_burst
        The same for the meter operator.
    waiting_messages
        Messages of all senders that may wait; with more, all are refused.
    refusals_s
        Seconds between two reports to a sender about messages that were not read.
    confirm_s
        Seconds within which the envelopes of every connection point are published again, to show
        that they are still in force.
    stop_within_s
        Seconds that a graceful stop may wait for the broker.
    """

    batch_messages: int = 64
    batch_s: float = 0.05
    unconfirmed_batches: int = 64
    snapshot_entries: int = 20_000
    tick_s: float = 0.05
    depth_changes_s: float = 0.1
    depth_s: float = 0.5
    heartbeat_s: float = 5.0
    renew_s: float = 1.0
    probe_s: float = 2.0
    silent_after_s: float = 10.0
    messages_per_second: float = 200.0
    burst: int = 1000
    readings_per_second: float = 2_000.0
    reading_burst: int = 20_000
    waiting_messages: int = 40_000
    refusals_s: float = 1.0
    confirm_s: float = 60.0
    stop_within_s: float = 3.0

    def __post_init__(self) -> None:
        """Refuse values with which the loop would stand still.

        Raises
        ------
        ValueError
            With the setting and its value.
        """
        for each in fields(self):
            value = getattr(self, each.name)
            if not value > 0:
                raise ValueError(f"{each.name} must be above 0, and is {value}")
