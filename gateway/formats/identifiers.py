"""Names that may stand in topics, files and messages."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

ClientId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:\-]{1,64}$")]
"""A sender's own key for a request; the exchange answers under it."""

# Ids are compared, never interpreted.  The pattern keeps what is echoed short and printable: no
# control characters, nothing that turns the direction of writing, no other line ends.
PointId = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\p{C}\p{Zl}\p{Zp}]+$")]
"""A connection point as a request names it."""

_LONGEST_LEVEL = 128  # characters; a topic of several levels stays well below MQTT's 65,535 bytes
_FORBIDDEN = frozenset("/+# ")  # MQTT's separator and wildcards, and the one blank that prints


def is_identifier(text: str) -> bool:
    """Return whether a text may be one level of a topic.

    The empty text, wildcards, slashes, blanks, characters that do not print, and texts of more
    than 128 characters may not.

    Examples
    --------
    >>> is_identifier("load:0"), is_identifier("a/b"), is_identifier("+"), is_identifier("")
    (True, False, False, False)
    """
    return 0 < len(text) <= _LONGEST_LEVEL and text.isprintable() and _FORBIDDEN.isdisjoint(text)
