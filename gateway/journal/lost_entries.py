"""Whether a journal ends where it was written last, and what is lost where it does not."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.journal.witness import JournalEnd


@dataclass(frozen=True, slots=True)
class LostEntries:
    """Entries that were written and are not in the journal any more.

    Parameters
    ----------
    ends_at
        Sequence of the last entry that is there.
    written
        Sequence of the last entry that is known to have been written; where it is not above
        ``ends_at``, the journal went another way before.
    detail
        A sentence that names both.
    """

    ends_at: int
    written: int
    detail: str


def lost_entries(
    end: JournalEnd, recorded: JournalEnd, witnessed: JournalEnd | None, chain_there: bytes | None
) -> LostEntries | None:
    """Compare the end of a journal with what is known of it.

    Parameters
    ----------
    end
        The last entry that is there.
    recorded
        The last entry by the writer's record beside the entries.
    witnessed
        The last entry by the witness, ``None`` without one.
    chain_there
        The digest in the journal at the sequence of the witness; ``None`` where it has no such
        entry.

    Returns
    -------
    What is lost, ``None`` where nothing is known to be.
    """
    if (recorded.sequence, recorded.chain) != (end.sequence, end.chain):
        written = max(recorded.sequence, witnessed.sequence if witnessed else 0)
        return LostEntries(
            end.sequence, written, f"its server recorded entry {recorded.sequence} as its last"
        )
    if witnessed is None or witnessed.sequence == 0:
        return None
    if witnessed.sequence > end.sequence:
        return LostEntries(
            end.sequence, witnessed.sequence, f"the witness knows entry {witnessed.sequence}"
        )
    if chain_there != witnessed.chain:
        return LostEntries(
            end.sequence,
            witnessed.sequence,
            f"its entry {witnessed.sequence} is not the one that the witness knows",
        )
    return None
