"""The chain of a journal's entries: the digest of each covers all entries before it.

Two journals whose digests at an entry are the same have the same entries up to there.
"""

from __future__ import annotations

import hashlib

BEGINNING = bytes(32)
"""The digest before the first entry."""


def linked(previous: bytes, line: bytes) -> bytes:
    """Return the digest at an entry: SHA-256 of the digest before it, and of its line."""
    return hashlib.sha256(previous + line).digest()
