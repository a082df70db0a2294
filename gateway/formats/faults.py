"""Faults of files and messages: one sentence for each, and all of them at once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import ValidationError

from exchange.vocabulary.reasons import RefusalReason
from security_check.errors import Fault

# Values of ``type`` in requests.  pydantic puts them into the place of a fault; readers of the
# sentence do not know them as a place.
_MEMBERS = (
    *("submit", "block", "linked", "cancel", "amend", "mass_cancel"),
    *("safeguard", "disconnected", "alive"),
    *("price_collar", "risk_limits", "kill_switch", "halt", "resume", "buy_back"),
)


class InvalidMessageError(Exception):
    """A request cannot become a command; the text is a sentence for its sender.

    ``for_now`` says that the market's state was against it, and not the request alone.
    """

    def __init__(
        self,
        detail: str,
        reason: RefusalReason = RefusalReason.MALFORMED,
        *,
        for_now: bool = False,
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.for_now = for_now


class InputFaults(Exception):  # noqa: N818  # it reports faults, plural, as NetworkFaults does
    """An input has faults; ``faults`` holds all of them, ``source`` names the input."""

    def __init__(self, source: str, faults: Iterable[Fault]) -> None:
        self.source = source
        self.faults = tuple(faults)
        super().__init__(f"{source}: " + "; ".join(str(fault) for fault in self.faults))


def sentences(
    error: ValidationError, prefix: str = "", *, with_values: bool = True
) -> Iterator[Fault]:
    """Yield one fault for each error of pydantic, named by its place in the input.

    ``with_values`` says whether sentences repeat what was found; passwords are not repeated.
    """
    for problem in error.errors(include_url=False):
        kind, message = problem["type"], problem["msg"]
        place = [str(part) for part in problem["loc"] if part not in _MEMBERS]
        where = ".".join([prefix, *place] if prefix else place) or "content"
        if kind == "extra_forbidden":
            detail = "there is no such entry"
        elif kind == "missing":
            detail = "it is missing"
        elif kind == "union_tag_not_found":
            where, detail = f"{where}.type" if place or prefix else "type", "it is missing"
        elif kind == "union_tag_invalid":
            where = f"{where}.type" if place or prefix else "type"
            context = problem["ctx"]
            detail = f"it is {context['tag']!r}; it should be one of {context['expected_tags']}"
        elif kind == "json_invalid":
            detail = f"it is not JSON: {message.removeprefix('Invalid JSON: ')}"
        else:
            sentence = message.replace("Input should", "it should").removeprefix("Value error, ")
            found = f", found {_shown(problem['input'])}" if with_values else ""
            detail = f"{sentence}{found}"
        yield Fault(where, detail)


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def repeated_entries(text: bytes) -> list[Fault]:
    """Return a fault for each name that an object of a JSON text gives twice.

    JSON readers silently take the last one, which need not be the one that was meant.
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
    """Return the operating system's reason, as a part of a sentence."""
    return (error.strerror or str(error)).lower()


def unreadable(source: str, error: OSError) -> InputFaults:
    """Return the one fault of a file that cannot be read."""
    return InputFaults(source, [Fault("file", f"it cannot be read: {why(error)}")])
