"""Reports of one receiver in the order of their numbers, each once, whatever order they came in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_MOST_HELD = 10_000  # reports after a gap; what is beyond comes back with the recovery of the gap


class ReportStream:
    """Puts reports in order.

    Parameters
    ----------
    apply
        Called with each report once, in the order of ``sequence``, without gaps.

    Examples
    --------
    >>> stream = ReportStream(lambda report: print(report["sequence"]))
    >>> stream.begin(6)
    []
    >>> for number in (7, 9, 7):
    ...     stream.take({"sequence": number})
    7
    >>> stream.has_gap, stream.last
    (True, 7)
    >>> stream.take({"sequence": 8})
    8
    9
    """

    def __init__(self, apply: Callable[[dict[str, Any]], None]) -> None:
        self._apply = apply
        self._held: dict[int, dict[str, Any]] = {}
        self.last: int | None = None
        """Number of the newest report applied, ``None`` before it is known where to begin."""

    @property
    def has_gap(self) -> bool:
        """Whether reports wait for one before them that has not come."""
        return self.last is not None and bool(self._held)

    def take(self, report: dict[str, Any]) -> None:
        """Take a report, of any number."""
        number = report["sequence"]
        if self.last is not None and number <= self.last:
            return
        if len(self._held) < _MOST_HELD or number - 1 == self.last:
            self._held[number] = report
        self._apply_held()

    def begin(self, after: int, *, forget: bool = False) -> list[dict[str, Any]]:
        """Go on after a number: what reports up to it say is known otherwise, or given up.

        Parameters
        ----------
        after
            The number.
        forget
            Whether numbers have begun anew, and what waits has one of the former numbers.

        Returns
        -------
        The reports that waited and are not applied any more, in order.
        """
        self.last = after
        skipped = [self._held[number] for number in sorted(self._held) if forget or number <= after]
        for report in skipped:
            del self._held[report["sequence"]]
        self._apply_held()
        return skipped

    def hold(self) -> None:
        """Apply nothing until it is said where to begin."""
        self.last = None

    def _apply_held(self) -> None:
        while self.last is not None and (report := self._held.pop(self.last + 1, None)) is not None:
            self.last += 1
            self._apply(report)
