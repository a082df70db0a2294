"""The version of what is kept, journal entries and snapshots, and the way from older ones.

What releases have written stays readable: data of an older version are upgraded one version at a
time when they are read.  The policy is in ``docs/formats/envelopes-and-results.md``, and files
that older versions have written in ``tests/data``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

VERSION = 1
"""The version in which entries and snapshots are written; it rises with every change of either."""


class UnknownVersionError(ValueError):
    """Data without a version, or with that of a newer release; the text names both versions."""


Upgrade = Callable[[dict[str, Any]], dict[str, Any]]
"""Returns the data of one version in the form of the next; may change what it is given."""


def in_present_form(
    name: str, data: dict[str, Any], upgrades: Mapping[int, Upgrade]
) -> dict[str, Any]:
    """Return data of this or an older version in the form of this one.

    Parameters
    ----------
    name
        What the data are, for the error.
    data
        With their ``version``.
    upgrades
        By version, the function that leads to the next one.  Where a version has none, the next
        has the same form.

    Raises
    ------
    UnknownVersionError
        When there is no version, or one that this program does not know.
    """
    version = data.get("version")
    if type(version) is not int or not 1 <= version <= VERSION:
        found = "no version" if version is None else f"version {version!r}"
        newer = type(version) is int and version > VERSION
        known = "version 1" if VERSION == 1 else f"versions 1 to {VERSION}"
        raise UnknownVersionError(
            f"{name} has {found}, and this program reads {known}"
            f"{': a newer release wrote it' if newer else ''}"
        )
    for older in range(version, VERSION):
        data = upgrades[older](data) if older in upgrades else data
    return {**data, "version": VERSION}
