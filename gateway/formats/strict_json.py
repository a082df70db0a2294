"""One JSON request, read strictly: its size, its keys, its numbers, its form.

Every message over MQTT and every line of an orders file passes through :func:`read_request`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from exchange.vocabulary.reasons import RefusalReason
from gateway.formats.faults import InvalidMessageError, sentences
from gateway.formats.identifiers import ClientId
from security_check.errors import Fault

_T = TypeVar("_T")

MAX_REQUEST_BYTES = 8_192
"""Size of the largest request that is read; an order needs less than a tenth of it."""

KEPT_REQUEST_BYTES = 65_536
"""What is kept of a message; a longer one is cut off here, and refused by its size like this."""

_CLIENT_ID: TypeAdapter[str] = TypeAdapter(ClientId, config=ConfigDict(strict=True))


def read_request(form: TypeAdapter[_T], text: bytes, required: Sequence[str] = ()) -> _T:
    """Return a request that has the form.

    Parameters
    ----------
    form
        The form of the request.
    text
        The request.
    required
        Entries that the form leaves optional and that this request must have.

    Raises
    ------
    InvalidMessageError
        When the text is too large (``too_large``), or is not JSON of the form (``malformed``).
    """
    check_size(text)
    content = _checked_json(text)
    entries = content if isinstance(content, dict) else dict.fromkeys(required, "")
    faults = [Fault(name, "it is missing") for name in required if entries.get(name) is None]
    try:
        request = form.validate_json(text)
    except ValidationError as error:
        faults += sentences(error)
    if faults:
        raise InvalidMessageError("; ".join(map(str, faults)))
    return request


def check_size(text: bytes) -> None:
    """Raise :class:`InvalidMessageError` where a request is too large to be read."""
    if len(text) > MAX_REQUEST_BYTES:
        raise InvalidMessageError(
            f"it has {len(text):,} bytes, at most {MAX_REQUEST_BYTES:,} are allowed",
            RefusalReason.TOO_LARGE,
        )


def entries_of(text: bytes) -> dict[str, Any]:
    """Return the entries of a request that may be faulty; none where it cannot be read."""
    if len(text) <= MAX_REQUEST_BYTES:
        with contextlib.suppress(ValueError, RecursionError):
            content = json.loads(text)
            if isinstance(content, dict):
                return content
    return {}


def id_of(entries: dict[str, Any], key: str) -> str | None:
    """Return the id under a key of a request, ``None`` where none has the form of an id."""
    with contextlib.suppress(ValidationError):
        return _CLIENT_ID.validate_python(entries.get(key))
    return None


def _checked_json(text: bytes) -> Any:
    """Return a JSON value without what pydantic would accept: a key twice, NaN."""
    try:
        return _DECODER.decode(text.decode("utf-8"))
    except UnicodeDecodeError:
        raise InvalidMessageError("it is not UTF-8") from None
    except RecursionError:
        raise InvalidMessageError("it is nested too deeply") from None
    except ValueError as error:
        raise InvalidMessageError(f"it is not JSON: {error}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for name, value in pairs:
        if name in content:
            raise InvalidMessageError(f"{name}: it is there twice in one object")
        content[name] = value
    return content


def _no_constant(name: str) -> float:
    raise InvalidMessageError(f"{name} is not a number in JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
