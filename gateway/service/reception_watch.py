"""Notice when messages no longer reach the exchange.

A broker may drop the exchange's subscriptions, or filter their messages, without an error.  So the
exchange sends itself a probe now and then; when neither a probe nor an order arrives for too long,
reception is silent.
"""

from __future__ import annotations

_LONGEST_PATIENCE_S = 600.0  # between two attempts to connect anew, which cost participants time


class ReceptionWatch:
    """Watches for silence; the caller passes the time.

    Parameters
    ----------
    patience_s
        Seconds for which nothing may arrive after a probe.  Doubles each time that connecting
        anew did not help, up to ten minutes, until a message arrives.
    """

    def __init__(self, patience_s: float) -> None:
        self._first_patience_s = self.patience_s = patience_s
        self._unheard_since: float | None = None
        self.silent = False

    def probed(self, moment: float) -> None:
        """Record that a probe went out."""
        if self._unheard_since is None:
            self._unheard_since = moment

    def heard(self) -> bool:
        """Record that a message arrived; return whether reception was silent before."""
        was_silent, self.silent = self.silent, False
        self._unheard_since = None
        self.patience_s = self._first_patience_s
        return was_silent

    def lost(self, moment: float, *, connected: bool) -> float | None:
        """Return the seconds without a message where they are too many; then reception is silent.

        Without a connection nothing can arrive, and the transport is connecting already.
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
