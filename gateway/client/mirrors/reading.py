"""Messages of the exchange as typed objects: the forms in which it publishes them."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from gateway.messages.catalogue import CHANNELS
from gateway.messages.participant_reports import Report

_Form = TypeVar("_Form", bound=BaseModel)

_REPORTS: dict[str, type[Report]] = {
    kind: form
    for channel in CHANNELS
    for form in channel.models
    if issubclass(form, Report)
    for kind in get_args(form.model_fields["type"].annotation)
}


def read_as(form: type[_Form], content: dict[str, Any]) -> _Form:
    """Return a message as an object of its form; entries that a newer exchange adds are left out.

    Raises
    ------
    ValueError
        When an entry is missing, or is not what the form says.
    """
    try:
        return form.model_validate(content)
    except ValidationError as error:
        added = [each["loc"] for each in error.errors() if each["type"] == "extra_forbidden"]
        if len(added) < error.error_count():
            raise
    known = deepcopy(content)
    for *path, name in added:
        place: Any = known
        for step in path:
            place = place[step]
        del place[name]
    return form.model_validate(known)


def read_report(content: dict[str, Any]) -> Report | None:
    """Return a report as an object of its form; ``None`` for a kind that is not known here.

    Raises
    ------
    ValueError
        As :func:`read_as`.
    """
    form = _REPORTS.get(str(content.get("type")))
    return None if form is None else read_as(form, content)
