"""Strict records, and the times, names and powers in them: the ground of all formats."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer

from exchange.vocabulary.formatting import format_time

# Years of a time in an input: adding a gate or an interval never leaves Python's calendar.
_FIRST_YEAR, _LAST_YEAR = 1970, 9998


def in_utc(moment: datetime) -> datetime:
    """Return a time of an input in UTC.

    Raises
    ------
    ValueError
        When it is not in the years 1970 to 9998.
    """
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise ValueError(f"it should lie in the years {_FIRST_YEAR} to {_LAST_YEAR}")
    return moment.astimezone(UTC)


def parsed_time(text: str) -> datetime:
    """Return a time of a table in UTC.

    Raises
    ------
    ValueError
        When the text is not a time with an offset; the message says why.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("it is not a time as 2016-05-02T00:15:00Z") from None
    if moment.tzinfo is None:
        raise ValueError("it has no offset; write Z for UTC")
    return in_utc(moment)


Time = Annotated[
    AwareDatetime, AfterValidator(in_utc), PlainSerializer(format_time, return_type=str)
]
Name = Annotated[str, Field(min_length=1, max_length=200)]
LARGEST_W = 10**12
"""Largest power of a file: above that of any area, and sums of it stay inside 64 bits."""

Watts = Annotated[int, Field(ge=0, le=LARGEST_W)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
SignedWatts = Annotated[int, Field(ge=-LARGEST_W, le=LARGEST_W)]
"""Watts of a request.  The exchange refuses what is negative, with a reason of its own."""


class Record(BaseModel):
    """A part of a file: exact types, no other entries, immutable."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    @classmethod
    def from_fields(cls, source: object, **entries: Any) -> Self:
        """Return a record with the attributes of ``source`` that have names of the record.

        ``entries`` are the record's other entries; they take the place of attributes.
        """
        return cls(**equal_attributes(cls, source) | entries)


def equal_attributes(model: type[BaseModel], source: object) -> dict[str, Any]:
    """Return the attributes of ``source`` that have names of the model's fields.

    ``source`` is a dataclass or a model.
    """
    names = _EQUAL_NAMES.get((model, type(source)))
    if names is None:
        names = _EQUAL_NAMES[model, type(source)] = _equal_names(model, type(source))
    return {name: getattr(source, name) for name in names}


_EQUAL_NAMES: dict[tuple[type[BaseModel], type], tuple[str, ...]] = {}


def _equal_names(model: type[BaseModel], kind: Any) -> tuple[str, ...]:
    """Return the names of a model's fields that a dataclass or model has, or has as properties."""
    own = kind.model_fields if issubclass(kind, BaseModel) else {each.name for each in fields(kind)}
    return tuple(name for name in model.model_fields if name in own or hasattr(kind, name))
