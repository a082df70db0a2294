"""What may stand as a name in a topic level, a file and a message."""

from __future__ import annotations

_LONGEST_LEVEL = 128


_FORBIDDEN = frozenset("/+#")


def is_identifier(text: str) -> bool:
    """Tell whether a text may be one level of a topic.

    Refused are the empty text, wildcards and slashes, blanks, control characters and all else
    that does not print, and what is longer than 128 characters.

    Examples
    --------
    >>> is_identifier("load:0"), is_identifier("a/b"), is_identifier("+"), is_identifier("")
    (True, False, False, False)
    """
    return (
        0 < len(text) <= _LONGEST_LEVEL
        and text.isprintable()
        and not any(character in _FORBIDDEN or character.isspace() for character in text)
    )
