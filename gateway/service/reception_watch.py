"""Whether messages reach the exchange at all.

A broker may have dropped the exchange's subscriptions, or filter what they bring, without a word.
So the exchange sends itself a probe now and then; where neither a probe nor an order comes in for
too long, it is silent.
"""

from __future__ import annotations

_LONGEST_PATIENCE_S = 600.0


class ReceptionWatch:
    """Watches for silence; told the time, it reads no clock.

    Parameters
    ----------
    patience_s
        How long nothing may come in after a probe.  Doubles with each time it was in vain, up
        to ten minutes, until something is heard.
    """

    def __init__(self, patience_s: float) -> None:
        self._first_patience_s = self.patience_s = patience_s
        self._unheard_since: float | None = None
        self.silent = False

    def probed(self, moment: float) -> None:
        """Take note that a probe went out."""
        if self._unheard_since is None:
            self._unheard_since = moment

    def heard(self) -> bool:
        """Take note that something came in; tells whether the exchange was silent before."""
        was_deaf, self.silent = self.silent, False
        self._unheard_since = None
        self.patience_s = self._first_patience_s
        return was_deaf

    def lost(self, moment: float, *, connected: bool) -> float | None:
        """Return for how long nothing came in, where that is too long; then it is silent.

        Without a connection there is nothing to hear, and the transport is at it already.
        """
        if not connected:
            self._unheard_since = None
            return None
        if self._unheard_since is None or moment - self._unheard_since <= self.patience_s:
            return None
        waited_s = self.patience_s
        self.silent = True
        self._unheard_since = None
        self.patience_s = min(2 * self.patience_s, _LONGEST_PATIENCE_S)
        return waited_s
