"""The base of every message that the exchange publishes."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic_core import to_json

from gateway.formats.records import equal_attributes


class OutgoingMessage(BaseModel):
    """A message, or a part of one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def entries_of(cls, source: object, **entries: Any) -> dict[str, Any]:
        """Return the attributes of ``source`` that have names of this message's entries.

        ``entries`` are other entries; they take the place of attributes.
        """
        return equal_attributes(cls, source) | entries

    @classmethod
    def encode(cls, **content: Any) -> bytes:
        """Return a message of this form as JSON.

        The content comes from events, which are right by construction, so it is not validated
        here: tests validate everything that is published against the models.
        """
        return to_json(cls._defaults() | content)

    @classmethod
    @cache
    def _defaults(cls) -> dict[str, Any]:
        """Return the entries that have a default, above all ``type``."""
        fields = cls.model_fields.items()
        return {name: field.default for name, field in fields if not field.is_required()}
