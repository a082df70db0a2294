"""What all formats share: strict records, and times and powers as files have them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer

from exchange.vocabulary.formatting import format_time

_FIRST_YEAR, _LAST_YEAR = 1970, 9998


def in_utc(moment: datetime) -> datetime:
    """Return a time of an input in UTC.

    Raises
    ------
    ValueError
        When it is so near the ends of the calendar that adding a gate or an interval could
        leave it.
    """
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise ValueError(f"it should lie in the years {_FIRST_YEAR} to {_LAST_YEAR}")
    return moment.astimezone(UTC)


def parsed_time(text: str) -> datetime:
    """Return a time of a table in UTC.

    Raises
    ------
    ValueError
        With why it is none.
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
Watts = Annotated[int, Field(ge=0)]


class Record(BaseModel):
    """A part of a file: exact types, no entries but these, never changed."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    @classmethod
    def from_fields(cls, source: object, **entries: Any) -> Self:
        """Return a record whose entries are the attributes of the same names.

        Parameters
        ----------
        source
            The object that the attributes are copied from.
        entries
            Entries given here are not copied: those that ``source`` lacks, names differently or
            has in another form.
        """
        names = [name for name in cls.model_fields if name not in entries]
        return cls(**{name: getattr(source, name) for name in names}, **entries)
