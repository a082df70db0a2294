"""Joint orders: several legs that trade together or not at all, across books and intervals.

A joint order is tried leg by leg, as if each were an incoming order, in one clearing over all its
intervals; where the legs do not come out together, everything is taken back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from exchange.clearing import Clearing, exhaust
from exchange.networks import IntervalNetwork
from exchange.orders import Order
from exchange.session import Session

Place = tuple[Session, IntervalNetwork]
"""A session, and its network."""


def clear_joint(
    legs: Sequence[Order], places: Sequence[Place], joints: Mapping[int, Sequence[Order]]
) -> Clearing:
    """Match a joint order: all legs in full, or the same quantity of each.

    Other joint orders take part as makers.  One that does not come out together itself is left
    out, the oldest such first, and the whole is tried again.  Where the legs reach different
    quantities, the least of them is tried for all.  Both only ever shrink, so there is an end:
    after at most joint orders + distinct quantities rounds, each of which copies the networks.

    Parameters
    ----------
    legs
        The open legs, in their order.
    places
        Of each leg, where it trades; legs of one interval share a network.
    joints
        All joint orders by their number, this one included.

    Returns
    -------
    What is in force now in the networks; no matches if nothing could trade.
    """
    whole = legs[0].conditions.all_or_none
    allowed: set[int | None] = {number for number in joints if number != legs[0].joint_id}
    target_w = legs[0].remaining_w
    networks = {id(network): network for _, network in places}.values()
    while target_w:
        saved = [network.copy() for network in networks]
        clearing = Clearing()
        for leg, (session, network) in zip(legs, places, strict=True):
            clearing.hold_back(leg, 0 if whole else leg.remaining_w - target_w)
            exhaust(leg, session, network, clearing, allowed)
        broken = _broken(clearing, allowed, joints)
        traded_w = [clearing.traded_w(leg) for leg in legs]
        goals_w = [leg.remaining_w if whole else target_w for leg in legs]
        if not broken and traded_w == goals_w:
            return clearing
        for network, before in zip(networks, saved, strict=True):
            network.take_back(before)
        met_own = [own for own in clearing.self_trades if any(own is leg for leg in legs)]
        if met_own:
            return Clearing(self_trades=met_own[:1])
        if broken:
            allowed.remove(broken[0])
        elif whole:
            break
        else:
            target_w = min(traded_w)
    return Clearing()


def _broken(
    clearing: Clearing, allowed: set[int | None], joints: Mapping[int, Sequence[Order]]
) -> list[int]:
    """Return the joint orders, oldest first, whose legs did not come out together."""
    found = []
    for number in sorted(joints):
        if number not in allowed:
            continue
        legs = joints[number]
        traded_w = {clearing.traded_w(leg) for leg in legs}
        if traded_w == {0}:
            continue
        whole = legs[0].conditions.all_or_none
        full = all(clearing.traded_w(leg) == leg.remaining_w for leg in legs)
        if (len(traded_w) > 1 and not whole) or (whole and not full):
            found.append(number)
    return found
