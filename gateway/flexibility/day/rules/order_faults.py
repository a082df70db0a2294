"""What is wrong with times of offers and sessions, announcements and shared needs of a day."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from exchange.flexibility.products.vocabulary import Role
from gateway.flexibility.day.schema import (
    AnnouncementPhase,
    DayNeed,
    FlexibilityDayFile,
    ForwardPhase,
    SpotPhase,
)
from security_check.errors import Fault


def order_faults(content: FlexibilityDayFile) -> Iterator[Fault]:
    """Yield the faults of times, announcements and shares."""
    yield from _offers(content)
    yield from _phases(content)
    for need in content.needs:
        if need.shares:
            yield from _shares(content, need)


def _offers(content: FlexibilityDayFile) -> Iterator[Fault]:
    latest = None
    for each in content.offers:
        place = f"offers.{each.name}"
        if each.arrives is not None:
            if latest is not None and each.arrives < latest[0]:
                detail = f"it arrives at {each.arrives:%Y-%m-%dT%H:%M:%SZ}, before {latest[1]}"
                yield Fault(place, f"{detail}, which stands before it")
            else:
                latest = each.arrives, each.name
        begins, ends = each.arrives, each.good_until
        if begins is not None and ends is not None and ends <= begins:
            detail = f"it arrives at {begins:%Y-%m-%dT%H:%M:%SZ} and is good until "
            yield Fault(place, f"{detail}{ends:%Y-%m-%dT%H:%M:%SZ}")


def _phases(content: FlexibilityDayFile) -> Iterator[Fault]:
    sessions = [each.name for each in content.phases if isinstance(each, ForwardPhase | SpotPhase)]
    timed = [each.name for each in content.offers if each.arrives or each.good_until]
    before: tuple[datetime, str] | None = None
    done: list[str] = []
    for each in content.phases:
        place = f"phases.{each.name}"
        if isinstance(each, SpotPhase) and each.at is None:
            if each.rest_s:
                detail = f"offers rest for {each.rest_s:,} s, and at does not say when it clears"
                yield Fault(place, detail)
            own = [o for o in content.offers if not o.sessions or each.name in o.sessions]
            with_times = [o.name for o in own if o.name in timed]
            if with_times:
                detail = f"{with_times[0]} has a time, and at does not say when it clears"
                yield Fault(place, detail)
        if isinstance(each, AnnouncementPhase):
            for name in each.sessions:
                if name not in sessions:
                    known = ", ".join(sessions) or "none"
                    yield Fault(place, f"there is no session {name}; there is {known}")
                elif name in done:
                    yield Fault(place, f"it announces the needs of {name}, which is before it")
        at = each.at if isinstance(each, SpotPhase | AnnouncementPhase) else None
        if at is not None:
            if before is not None and at < before[0]:
                detail = f"it is at {at:%Y-%m-%dT%H:%M:%SZ}, before {before[1]}"
                yield Fault(place, f"{detail}, which stands before it")
            before = at, each.name
        done.append(each.name)


def _shares(content: FlexibilityDayFile, need: DayNeed) -> Iterator[Fault]:
    place = f"needs.{need.name}"
    roles = {each.name: each.role for each in content.parties}
    if need.buyer not in need.shares:
        yield Fault(place, f"its buyer {need.buyer} has no share of it")
    for party in need.shares:
        if roles.get(party) not in (Role.DSO, Role.TSO, Role.BRP):
            yield Fault(place, f"{party} has a share of it, and is no dso, tso or brp")
    forward = {each.name for each in content.phases if isinstance(each, ForwardPhase)}
    for name in need.sessions:
        if name in forward:
            yield Fault(place, f"it has shares, and {name} makes contracts with one buyer")
