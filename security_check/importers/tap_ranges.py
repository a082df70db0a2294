"""Tap positions that may be anywhere in a range: a network for every combination of positions.

An on-load tap changer or a regulator moves while envelopes are in force.  Where it may be anywhere
in a range, envelopes must hold at every position in it, and with several ranges at every
combination of positions.  Each combination is the source read with stated positions; together they
are states of one network (:mod:`security_check.monitoring.case_monitors`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

from security_check.errors import Fault, NetworkFaults
from security_check.importers.pandapower_taps import Taps
from security_check.model.element import USUAL, State
from security_check.model.network import Network
from security_check.model.network_state import NetworkState

RangedTaps = Literal["as-given", "neutral"] | Mapping[str, float | Sequence[float]]
"""A statement about taps, in which a pair of whole numbers is the lowest and highest position."""

MOST_STATES = 64
"""Networks that one set of envelopes can be secured in, where taps have ranges."""

Reading = tuple[Network, Sequence[NetworkState]]


@dataclass(frozen=True, slots=True)
class TappedSource:
    """A source of networks whose tap positions can be stated.

    Parameters
    ----------
    read
        Returns the network at stated positions, and its states after outages; raises
        :class:`NetworkFaults`.
    given
        Returns the positions of some tap changers in the source, by the names that they are stated
        by; without those that the source does not know.
    outages
        Number of outages.
    where
        What stands before a name in faults.
    """

    read: Callable[[Taps | None], Reading]
    given: Callable[[Sequence[str]], Mapping[str, float]]
    outages: int = 0
    where: str = ""


def ranges_of(taps: RangedTaps | None) -> dict[str, Sequence[float]]:
    """Return the entries that are ranges, with or without faults."""
    if not isinstance(taps, Mapping):
        return {}
    return {name: at for name, at in taps.items() if isinstance(at, Sequence)}


def shown_ranges(taps: RangedTaps | None) -> dict[str, str]:
    """Return the ranges in words, ``"[-2, 2]"``."""
    return {name: _shown(ends) for name, ends in ranges_of(taps).items()}


def _shown(ends: Sequence[Any]) -> str:
    texts = (f"{each:g}" if isinstance(each, int | float) else repr(each) for each in ends)
    return f"[{', '.join(texts)}]"


def usual_taps(taps: RangedTaps | None, given: Mapping[str, float]) -> Taps | None:
    """Return the statement with the usual position in each range: the given one, or the nearest.

    Parameters
    ----------
    taps
        A statement whose ranges have no faults.
    given
        The positions in the source; where one is not known, the lowest of the range is usual.
    """
    if not isinstance(taps, Mapping):
        return taps
    return {
        name: _usual(at, given.get(name, math.nan)) if isinstance(at, Sequence) else at
        for name, at in taps.items()
    }


def states_in_ranges(taps: RangedTaps | None, source: TappedSource) -> Reading:
    """Return a network at its usual tap positions, and in all further states.

    Parameters
    ----------
    taps
        Positions, ranges of positions, or any other statement that the source knows.
    source
        The source.

    Returns
    -------
    network
        With every tap in a range at the position of the source, or, if that lies outside, at the
        nearest end of the range.
    states
        Every other combination of positions, and every combination after each outage.

    Raises
    ------
    NetworkFaults
        With every fault found: of the ranges, of the source at the ends of all ranges and at any
        other combination, and of more than ``MOST_STATES`` states in all.
    """
    ranges = ranges_of(taps)
    if not ranges or not isinstance(taps, Mapping):
        return source.read(_positions_alone(taps))
    wrong = {name: detail for name, ends in ranges.items() if (detail := _range_fault(ends))}
    sound = {name: (int(e[0]), int(e[1])) for name, e in ranges.items() if name not in wrong}
    faults = [Fault(f"{source.where}{name}", detail) for name, detail in wrong.items()]
    faults += _too_many(sound, source.outages)
    given = source.given(list(ranges))
    unknown = {name: _whole(given[name]) for name in wrong if name in given}
    rest = {name: at for name, at in taps.items() if not isinstance(at, Sequence)} | unknown
    readings: dict[tuple[int, ...], Reading] = {}
    for end in (0, 1):
        positions = {name: ends[end] for name, ends in sound.items()}
        try:
            readings[tuple(positions.values())] = source.read(rest | positions)
        except NetworkFaults as found:
            faults += [fault for fault in found.faults if fault not in faults]
    if faults:
        raise NetworkFaults(faults)
    usual = {name: _usual(ends, given.get(name, math.nan)) for name, ends in sound.items()}

    def at(positions: Mapping[str, int]) -> Reading:
        known = readings.get(tuple(positions.values()))
        return known or source.read({**rest, **positions})

    return _every_state(sound, usual, at)


def _positions_alone(taps: RangedTaps | None) -> Taps | None:
    if not isinstance(taps, Mapping):
        return taps
    return {name: at for name, at in taps.items() if not isinstance(at, Sequence)}


def _range_fault(ends: Sequence[Any]) -> str:
    """Return what is wrong with a range; empty where it is one."""
    shown = f"its range of tap positions is {_shown(ends)}"
    whole = [type(each) in (int, float) and float(each).is_integer() for each in ends]
    if len(ends) != 2 or not all(whole):
        return f"{shown}; it must be two whole numbers, the lowest and the highest position"
    return f"{shown}; its lowest position is above its highest" if ends[0] > ends[1] else ""


def _too_many(ranges: Mapping[str, tuple[int, int]], outages: int) -> Iterator[Fault]:
    """Yield the fault of more states than envelopes can be secured in."""
    count = math.prod(high - low + 1 for low, high in ranges.values()) * (1 + outages)
    if count <= MOST_STATES:
        return
    spans = " and ".join(
        f"{name} with {high - low + 1} positions ({low} to {high})"
        for name, (low, high) in ranges.items()
    )
    after = f", each also after {outages} outage{'s' * (outages > 1)}," if outages else ""
    yield Fault(
        "taps",
        f"{spans}{after} are {count} states of the network, and envelopes can be secured in at "
        f"most {MOST_STATES}; state narrower ranges",
    )


def _usual(ends: Sequence[float], given: float) -> int:
    low, high = int(ends[0]), int(ends[1])
    return low if math.isnan(given) else min(max(_whole(given), low), high)


def _whole(position: float) -> int:
    return 0 if math.isnan(position) else round(position)


def _every_state(
    ranges: Mapping[str, tuple[int, int]],
    usual: Mapping[str, int],
    read: Callable[[Mapping[str, int]], Reading],
) -> Reading:
    """Return the network at the usual positions, and all other states."""
    choices = [
        [usual[name], *(at for at in range(low, high + 1) if at != usual[name])]
        for name, (low, high) in ranges.items()
    ]
    states: list[NetworkState] = []
    faults: list[Fault] = []
    for combination in product(*choices):
        positions = dict(zip(ranges, combination, strict=True))
        moved = tuple((name, at) for name, at in positions.items() if at != usual[name])
        try:
            network, outages = read(positions)
        except NetworkFaults as found:
            state = State(moved)
            faults += [
                Fault(each.element, f"{state}: {each.detail}" if moved else each.detail)
                for each in found.faults
            ]
            continue
        states.append(NetworkState(State(moved), network))
        # A transformer that has failed has no position, so these states are there already.
        states += [
            NetworkState(State(moved, each.state.outage), each.network)
            for each in outages
            if each.state.outage not in dict(moved)
        ]
    if faults:
        raise NetworkFaults(faults)
    assert states[0].state == USUAL
    return states[0].network, states[1:]
