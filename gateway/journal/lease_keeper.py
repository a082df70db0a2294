"""Renews a writer's lease from a thread, so that a long computation does not lose it.

A lease must be short, or a standby waits long; but clearing a large market may take longer than
that.  The thread goes on renewing as long as the exchange's loop has come round not too long ago: a
loop that hangs loses its lease like a process that was stopped.
"""

from __future__ import annotations

import logging
import threading
import time

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from gateway.journal import scripts

_LOG = logging.getLogger(__name__)
_PARTS = 4  # renewals within the time of a lease


class LeaseKeeper:
    """Prolongs the lease of one writer.

    Parameters
    ----------
    url
        The Redis server.
    keys
        Of the writer, the lease and the stream.
    owner, lease_ms
        The writer's name, and the time of its lease.
    hang_s
        Seconds without a call of :meth:`is_alive` after which the lease is no longer renewed.
    """

    def __init__(
        self, url: str, keys: tuple[str, str, str], owner: str, lease_ms: int, hang_s: float = 10.0
    ) -> None:
        self._url = url
        self._keys = list(keys)
        self._owner = owner
        self._lease_ms = lease_ms
        self._hang_s = hang_s
        self._alive_at = 0.0
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, epoch: int) -> None:
        """Renew the lease of an epoch from now on."""
        self.is_alive()
        # A thread stopped while Redis did not answer may end later: it keeps its own event.
        self._ended = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(epoch, self._ended), name="journal-lease", daemon=True
        )
        self._thread.start()

    def is_alive(self) -> None:
        """Say that the exchange's loop has come round."""
        self._alive_at = time.monotonic()

    def stop(self) -> None:
        """Renew no longer."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(1.0)
            self._thread = None

    def _run(self, epoch: int, ended: threading.Event) -> None:
        pause_s = self._lease_ms / 1000 / _PARTS
        with Redis.from_url(self._url, socket_timeout=2.0, socket_connect_timeout=2.0) as client:
            renew = client.register_script(scripts.RENEW)
            arguments = [epoch, self._owner, self._lease_ms, 0]
            while not ended.wait(pause_s):
                if time.monotonic() - self._alive_at > self._hang_s:
                    continue
                try:
                    renew(keys=self._keys, args=arguments)
                except (RedisError, OSError) as error:
                    if isinstance(error, ResponseError) and "STALE" in str(error):
                        return  # Another writer has taken over: the next write says so.
                    _LOG.debug("the lease was not renewed", exc_info=True)
