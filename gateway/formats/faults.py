"""What is wrong with an input: every fault a sentence, all of them together."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import ValidationError

from security_check.errors import Fault

_MEMBERS = ("submit", "block", "linked", "cancel", "amend", "mass_cancel")


class InputFaults(Exception):  # noqa: N818  # it reports faults, plural, as NetworkFaults does
    """An input has faults; ``faults`` holds all of them, ``source`` says which input."""

    def __init__(self, source: str, faults: Iterable[Fault]) -> None:
        self.source = source
        self.faults = tuple(faults)
        super().__init__("; ".join(str(fault) for fault in self.faults))


def sentences(error: ValidationError, prefix: str = "") -> Iterator[Fault]:
    """Yield one fault for each thing that pydantic found, named by its place in the input."""
    for problem in error.errors(include_url=False):
        kind, message = problem["type"], problem["msg"]
        # The names of union members are pydantic's business, not the reader's.
        place = [str(part) for part in problem["loc"] if part not in _MEMBERS]
        where = ".".join([prefix, *place] if prefix else place) or "content"
        if kind == "extra_forbidden":
            detail = "there is no such entry"
        elif kind == "missing":
            detail = "it is missing"
        elif kind == "json_invalid":
            detail = f"it is not JSON: {message.removeprefix('Invalid JSON: ')}"
        else:
            sentence = message.replace("Input should", "it should").removeprefix("Value error, ")
            detail = f"{sentence}, found {_shown(problem['input'])}"
        yield Fault(where, detail)


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def repeated_entries(text: bytes) -> list[Fault]:
    """Return a fault for each name that an object of a JSON text gives twice.

    JSON readers take the last one and say nothing; which of the two was meant, nobody knows.
    """
    faults: list[Fault] = []

    def look(pairs: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                faults.append(Fault(name, "it is there twice in one object"))
            seen.add(name)

    json.loads(text, object_pairs_hook=look)
    return faults


def why(error: OSError) -> str:
    """Return what the system says, as a part of a sentence."""
    return (error.strerror or str(error)).lower()


def unreadable(source: str, error: OSError) -> InputFaults:
    """Return the one fault of a file that cannot be read."""
    return InputFaults(source, [Fault("file", f"it cannot be read: {why(error)}")])
