"""What one operator tells another, and how much of it: the size of each message as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Message:
    """One message between two operators.

    Parameters
    ----------
    sender, receiver
        The operators.
    subject
        What it is about, in a word or two.
    content
        What it says; plain data.
    """

    sender: str
    receiver: str
    subject: str
    content: Mapping[str, Any]

    @property
    def size(self) -> int:
        """Bytes of the content as JSON without blanks."""
        return len(json.dumps(self.content, separators=(",", ":")).encode())


@dataclass(frozen=True, slots=True)
class Told:
    """All messages of one subject from one operator to another.

    Parameters
    ----------
    sender, receiver, subject
        As in :class:`Message`.
    fields
        Names of the entries of their contents.
    messages, size
        How many, and bytes together.
    """

    sender: str
    receiver: str
    subject: str
    fields: tuple[str, ...]
    messages: int
    size: int


def told(messages: Sequence[Message]) -> tuple[Told, ...]:
    """Return messages by sender, receiver and subject, in the order of the first of each."""
    groups: dict[tuple[str, str, str], list[Message]] = {}
    for each in messages:
        groups.setdefault((each.sender, each.receiver, each.subject), []).append(each)
    return tuple(
        Told(
            *key,
            tuple(dict.fromkeys(name for each in group for name in each.content)),
            len(group),
            sum(each.size for each in group),
        )
        for key, group in groups.items()
    )


def rounded(value: float) -> float:
    """Return a number as it is sent: six decimals, a watt of a MW."""
    return round(float(value), 6) + 0.0
