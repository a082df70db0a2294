"""``[flexibility]``: who may request, how orders are matched, and what resources can change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from exchange.vocabulary.flexibility import FlexibilityRules, Matching
from exchange.vocabulary.rules import RESERVED_PARTICIPANTS
from gateway.formats.identifiers import is_identifier
from gateway.scenario.element_tables import DEFAULT, unknown_elements, values_for
from gateway.scenario.schema import FlexibilitySection
from security_check.errors import Fault

Resources = Mapping[str, tuple[int, int]]
"""By connection point, the watts by which its resource may change its power upward, downward."""


def build_flexibility(
    section: FlexibilitySection,
    points: tuple[str, ...],
    content: Mapping[str, Any],
    faults: list[Fault],
) -> tuple[FlexibilityRules, Resources]:
    """Return rules and resources; adds every fault.

    Parameters
    ----------
    section
        The section.
    points
        The connection points.
    content
        All sections as written in the file.
    faults
        The list of faults; after a fault the rules must not be used.
    """
    if "metering" in content:
        detail = "a reading does not tell an activation from a breach: leave out [metering]"
        faults.append(Fault("flexibility", detail))
    for name, count in Counter(section.requesters).items():
        if not is_identifier(name) or name in RESERVED_PARTICIPANTS:
            detail = f"{name!r} is reserved, or has blanks, slashes, + or #"
            faults.append(Fault("flexibility.requesters", detail))
        if count > 1:
            faults.append(Fault("flexibility.requesters", f"{name} is named {count} times"))
    for key, table in (("up_w", section.up_w), ("down_w", section.down_w)):
        faults += unknown_elements(f"flexibility.{key}", table, {*points, DEFAULT})
    ways = (values_for(table, points, 0) for table in (section.up_w, section.down_w))
    resources = {point: (int(up), int(down)) for point, up, down in zip(points, *ways, strict=True)}
    return FlexibilityRules(tuple(section.requesters), Matching(section.matching)), resources
