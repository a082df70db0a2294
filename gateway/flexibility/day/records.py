"""Records that results of several phases of a day share."""

from __future__ import annotations

from exchange.flexibility.products.spot import BranchFlow
from gateway.flexibility.day.units import Units
from gateway.formats.records import Finite, Record, Time


class DayReason(Record):
    """Something that is not taken: of whom, a reason of a closed list, and a sentence."""

    name: str
    reason: str
    detail: str


class DayShortfall(Record):
    """Watts that a need lacks in an interval."""

    need: str
    buyer: str
    interval: Time
    wanted_w: int
    missing_w: int
    detail: str


class DayFlow(Record):
    """A branch that is beyond its limits before a session or after it."""

    branch: str
    interval: Time
    flow_min_w: Finite
    flow_max_w: Finite
    before_w: Finite
    after_w: Finite
    overloaded: bool


def flow_record(units: Units, each: BranchFlow) -> DayFlow:
    """Return the record of a branch."""
    return DayFlow(
        branch=each.branch,
        interval=units.start_of(each.interval),
        flow_min_w=each.lower_w,
        flow_max_w=each.upper_w,
        before_w=each.before_w,
        after_w=each.after_w,
        overloaded=each.overloaded,
    )
