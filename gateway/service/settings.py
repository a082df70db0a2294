"""How the loop of the service behaves: its batches, its clocks and its patience."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """How the loop behaves; the defaults suit two cores.

    Parameters
    ----------
    batch_messages, batch_s
        A batch ends after so many messages or so much time, whichever comes first.
    unconfirmed_batches
        So many batches may wait for the broker's confirmation; then nothing more is handled.
    snapshot_entries
        A snapshot is written after so many entries.
    tick_s
        How often the clock is looked at.
    depth_s, heartbeat_s
        How often changed books are published in full, and the session message again.
    renew_s
        How often the journal's lease is prolonged.
    probe_s, silent_after_s
        How often the exchange sends itself a message, and how long none may come back: then it
        connects anew.
    messages_per_second, burst
        What each participant may send.
    stop_within_s
        How long a graceful stop may wait for the broker.
    """

    batch_messages: int = 64
    batch_s: float = 0.05
    unconfirmed_batches: int = 64
    snapshot_entries: int = 20_000
    tick_s: float = 0.05
    depth_s: float = 0.5
    heartbeat_s: float = 5.0
    renew_s: float = 1.0
    probe_s: float = 2.0
    silent_after_s: float = 10.0
    messages_per_second: float = 200.0
    burst: int = 1000
    stop_within_s: float = 3.0
