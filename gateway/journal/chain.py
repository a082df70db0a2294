"""The chain of a journal's entries: the digest of each covers all entries before it.

Two journals whose digests at an entry are the same have the same entries up to there.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

BEGINNING = bytes(32)
"""The digest before the first entry."""


class ChainedLine(NamedTuple):
    """An entry as it is kept: its number, its line, and the digest of the chain at it."""

    sequence: int
    line: bytes
    chain: bytes


def linked(previous: bytes, line: bytes) -> bytes:
    """Return the digest at an entry: SHA-256 of the digest before it, and of its line."""
    return hashlib.sha256(previous + line).digest()
