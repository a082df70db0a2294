"""Which failures of areas end the process that serves them.

An area that fails is started anew, without end, and stops no other.  The process ends only where a
new start helps no area: when no area has ever run, which is a wrong configuration, or when each
has failed by an error that starting anew cannot mend.
"""

from __future__ import annotations

from collections.abc import Collection

from gateway.errors import (
    CorruptJournalError,
    LeaseHeldError,
    LostEntriesError,
    SequenceGapError,
    StaleWriterError,
)

ANOTHER_WRITER = (StaleWriterError, LeaseHeldError)
"""Errors that mean that another process serves the area."""
_FOR_GOOD = (*ANOTHER_WRITER, CorruptJournalError, SequenceGapError, LostEntriesError)
"""Errors of a journal that starting anew cannot mend."""


class Failures:
    """The failures of the areas of a process.

    Parameters
    ----------
    areas
        All of them.

    Attributes
    ----------
    has_run
        Whether servers and settings were good at least once.
    """

    def __init__(self, areas: Collection[str]) -> None:
        self._areas = frozenset(areas)
        self._failed: set[str] = set()
        self._for_good: set[str] = set()
        self.has_run = False

    def ran(self, area: str) -> None:
        """Note that an area serves."""
        self.has_run = True
        self._for_good.discard(area)

    def end_all(self, area: str, error: Exception) -> bool:
        """Note the failure of an area; return whether the process ends."""
        self._failed.add(area)
        self._for_good.discard(area)
        if isinstance(error, _FOR_GOOD):
            self._for_good.add(area)
        return self._areas <= (self._for_good if self.has_run else self._failed)
