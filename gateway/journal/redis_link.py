"""The connection to a Redis server: attempts are repeated, and errors are those of a journal."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    AuthorizationError,
    NoPermissionError,
    RedisError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.errors import AccessRefusedError, JournalError, JournalUnavailableError
from gateway.formats.urls import shown_url, split_url

_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")
_FORM = "redis[s]://user:password@host:port/number or unix:///path"

NO_ANSWER = (RedisConnectionError, RedisTimeoutError, OSError)
_NO_ACCESS = (
    AuthenticationError,  # a connection error by its class
    AuthorizationError,
    AuthenticationWrongNumberOfArgsError,
    NoPermissionError,
)
_NO_ACCESS_IN_A_SCRIPT = ("ACL failure", "can't run this command", "can't access")


def connect(url: str) -> Redis:
    """Return a client of the server at a URL, which connects when it is first used.

    Raises
    ------
    ValueError
        When the URL is not valid; the text does not repeat it.
    """
    split_url("journal's URL", url, ("redis", "rediss", "unix"), _FORM)
    try:
        # Attempts are repeated here and nowhere else.
        return Redis.from_url(
            url, socket_timeout=10.0, socket_connect_timeout=5.0, retry=Retry(NoBackoff(), 0)
        )
    except ValueError:
        raise ValueError(f"the journal's URL must look like {_FORM}") from None


@contextmanager
def journal_errors(url: str) -> Iterator[None]:
    """Turn what a server refuses into errors of a journal; a missing answer stays as it is."""
    try:
        yield
    except _NO_ACCESS as error:
        raise AccessRefusedError(
            f"the Redis server at {shown_url(url)} refused the account or its password: {error}"
        ) from None
    except NO_ANSWER:
        raise
    except RedisError as error:
        if any(words in str(error) for words in _NO_ACCESS_IN_A_SCRIPT):
            raise AccessRefusedError(
                f"the Redis server at {shown_url(url)} refused the account a command: {error}"
            ) from None
        raise JournalError(f"the Redis server at {shown_url(url)} refused: {error}") from error


async def retrying(url: str, attempt: Callable[[], Awaitable[_T]], within_s: float) -> _T:
    """Repeat an attempt that gets no answer until the time is up.

    Raises
    ------
    AccessRefusedError, JournalError
        At once, when the server answers with a refusal.
    JournalUnavailableError
        When there was no answer in time.
    """
    loop = asyncio.get_running_loop()
    deadline, pause = loop.time() + within_s, 0.05
    while True:
        try:
            with journal_errors(url):
                return await attempt()
        except NO_ANSWER as error:
            if loop.time() + pause > deadline:
                waited = f"has not answered for {within_s:g} s" if within_s else "does not answer"
                raise JournalUnavailableError(
                    f"the Redis server at {shown_url(url)} {waited}: {error}"
                ) from error
            _LOG.warning("the Redis server at %s: %s; trying again", shown_url(url), error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, 1.0)
