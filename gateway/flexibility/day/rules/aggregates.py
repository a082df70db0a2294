"""Aggregates of a day's file: resources that are offered together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from exchange.flexibility.products.vocabulary import Resource, Role
from gateway.flexibility.day.schema import DayAggregate, DayResource, FlexibilityDayFile
from security_check.errors import Fault


def with_aggregates(content: FlexibilityDayFile) -> FlexibilityDayFile:
    """Return a file in which aggregates are resources, each as able as its members together."""
    found = [
        resource
        for each in content.aggregates
        if (resource := _as_resource(content, each)) is not None
    ]
    return content.model_copy(update={"resources": [*content.resources, *found]})


def aggregate_of(given: DayAggregate, content: FlexibilityDayFile) -> Resource:
    """Return an aggregate: it is as fast as its slowest member, and known if all are."""
    whole = _as_resource(content, given)
    members = tuple(given.members)
    if whole is None:  # a fault of its own
        return Resource(given.name, given.provider, given.zone or "", 0, 0, members=members)
    zones = sorted({each.zone or "" for each in content.resources if each.name in members})
    return Resource(
        given.name,
        given.provider,
        given.zone or "",
        whole.up_w,
        whole.down_w,
        whole.activation_s,
        whole.min_duration_s,
        whole.max_duration_s,
        registered=whole.registered,
        members=members,
        place="" if given.zone else f"in no zone of its own ({', '.join(zones)})",
    )


def _as_resource(content: FlexibilityDayFile, given: DayAggregate) -> DayResource | None:
    own = [each for each in content.resources if each.name in given.members]
    if not own:
        return None
    longest = [each.max_duration_s for each in own if each.max_duration_s is not None]
    return DayResource(
        name=given.name,
        provider=given.provider,
        zone=given.zone,
        up_w=sum(each.up_w for each in own),
        down_w=sum(each.down_w for each in own),
        activation_s=max(each.activation_s for each in own),
        min_duration_s=max(each.min_duration_s for each in own),
        max_duration_s=min(longest, default=None),
        registered=all(each.registered for each in own),
    )


def aggregate_faults(content: FlexibilityDayFile) -> Iterator[Fault]:
    """Yield the faults of aggregates; ``content`` has located resources."""
    resources = {each.name: each for each in content.resources}
    roles = {each.name: each.role for each in content.parties}
    names = Counter([*resources, *(each.name for each in content.aggregates)])
    of_member = Counter(name for each in content.aggregates for name in set(each.members))
    for each in content.aggregates:
        place = f"aggregates.{each.name}"
        if names[each.name] > 1:
            yield Fault(place, f"there are {names[each.name]} of this name, with resources")
        if roles.get(each.provider) is not Role.PROVIDER:
            yield Fault(place, f"there is no provider {each.provider}")
        if each.zone is not None and each.zone not in content.zones:
            yield Fault(place, f"there is no zone {each.zone}")
        for name, count in Counter(each.members).items():
            member = resources.get(name)
            if count > 1:
                yield Fault(place, f"its member {name} is named {count} times")
            if of_member[name] > 1:
                yield Fault(place, f"its member {name} is in {of_member[name]} aggregates")
            if member is None:
                yield Fault(place, f"there is no resource {name}, a member")
                continue
            if each.zone is not None and member.zone != each.zone:
                where = f"in zone {member.zone}" if member.zone else "in no zone"
                yield Fault(place, f"its member {name} is {where}, it is in {each.zone}")
            if member.provider != each.provider:
                detail = f"its member {name} has the provider {member.provider}"
                yield Fault(place, f"{detail}, it has {each.provider}")
    yield from _contract_faults(content)
    aggregates = {each.name for each in content.aggregates}
    for outage in content.outages:
        if outage.resource in aggregates:
            detail = f"{outage.resource} is an aggregate; its members have outages"
            yield Fault(f"outages.{outage.resource}", detail)


def _contract_faults(content: FlexibilityDayFile) -> Iterator[Fault]:
    """Yield a fault where a member promises what its aggregate may promise as well."""
    promised = {each.resource for each in content.contracts}
    promised |= {each.resource for each in content.forward_offers}
    whole_of = {
        name: each.name
        for each in content.aggregates
        if each.name in promised
        for name in each.members
    }
    for kind, entries in (
        ("contracts", content.contracts),
        ("forward_offers", content.forward_offers),
    ):
        for entry in entries:
            if entry.resource in whole_of:
                detail = f"{entry.resource} is a member of {whole_of[entry.resource]}"
                yield Fault(f"{kind}.{entry.name}", f"{detail}, which has contracts itself")
