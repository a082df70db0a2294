"""Fair shares without a leader: a model of processes, leases and announcements that come late."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.installation.shares import Decision, Members, Readiness, Turns, targets
from gateway.installation.sharing import readiness_of, word_of

LEASE_S = 1.0
ANNOUNCE_S = 0.25
LOOK_S = 0.05
TICK_S = 0.01


def everywhere(areas: list[str], readiness: Readiness = Readiness.READY) -> dict[str, Readiness]:
    return dict.fromkeys(areas, readiness)


def loads_of(owners: dict[str, str | None], members: list[str]) -> list[int]:
    counts = Counter(owner for owner in owners.values() if owner is not None)
    return [counts[member] for member in members]


def needed(owners: dict[str, str | None], members: list[str]) -> int:
    """Return the fewest moves after which members differ by one area at most.

    Whoever has most gets the larger shares; what lies above a share must move.
    """
    loads = sorted(loads_of(owners, members), reverse=True)
    free = len(owners) - sum(loads)
    least, more = divmod(sum(loads) + free, len(members))
    shares = [least + (place < more) for place in range(len(members))]
    return sum(max(0, load - share) for load, share in zip(loads, shares, strict=True))


# -- the rule, when all see the same --------------------------------------------------------------

MEMBERS = st.lists(st.sampled_from("PQRSTU"), min_size=1, max_size=5, unique=True)


@st.composite
def settings_of_areas(draw: st.DrawFn) -> tuple[list[str], dict[str, str | None]]:
    members = draw(MEMBERS)
    areas = [f"a{k:02}" for k in range(draw(st.integers(1, 14)))]
    owner = st.sampled_from([*members, None])
    return members, {area: draw(owner) for area in areas}


@given(settings_of_areas())
def test_the_plan_is_fair_and_moves_as_few_areas_as_can_be(
    case: tuple[list[str], dict[str, str | None]],
) -> None:
    members, owners = case
    plan = targets({each: everywhere(list(owners)) for each in members}, owners)
    after = owners | plan
    assert max(loads_of(after, members)) - min(loads_of(after, members)) <= 1
    assert None not in after.values()
    moved = [area for area in plan if owners[area] is not None]
    assert len(moved) == needed(owners, members)
    assert all(plan[area] != owners[area] for area in moved)


@given(settings_of_areas(), st.data())
def test_after_any_part_of_the_plan_the_rest_is_planned_again(
    case: tuple[list[str], dict[str, str | None]], data: st.DataObject
) -> None:
    members, owners = case
    ready = {each: everywhere(list(owners)) for each in members}
    plan = targets(ready, owners)
    done = data.draw(st.sets(st.sampled_from(sorted(plan))) if plan else st.just(set[str]()))
    left = targets(ready, owners | {area: plan[area] for area in done})
    assert len(left) == len(plan) - len(done)


@given(settings_of_areas(), st.data())
def test_areas_go_to_those_who_can_serve_them(
    case: tuple[list[str], dict[str, str | None]], data: st.DataObject
) -> None:
    members, owners = case
    kind = st.sampled_from(Readiness)
    ready = {each: {area: data.draw(kind) for area in owners} for each in members}
    passed_over = data.draw(st.sets(st.sampled_from(members)))
    plan = targets(ready, owners, passed_over)
    for area, owner in owners.items():
        able = {each for each in members if ready[each][area] is not Readiness.AWAY}
        if owner is not None:
            if area in plan:
                assert ready[plan[area]][area] is Readiness.READY
                assert plan[area] not in passed_over
        elif not able:
            assert area not in plan
        else:
            willing = able - passed_over or able
            assert plan[area] in willing
            assert ready[plan[area]][area] is max(ready[each][area] for each in willing)


# -- processes that see each other late -----------------------------------------------------------


@dataclass
class Process:
    """A process of the model: it looks, takes and gives, as long as it is not frozen."""

    name: str
    ttl_s: float
    next_look: float
    frozen: bool = False
    turns: Turns = field(init=False)
    announced_until: float = 0.0
    next_announcement: float = 0.0
    under_way: dict[str, float] = field(default_factory=dict)
    """Areas that it takes or gives back, and when that is done."""

    def __post_init__(self) -> None:
        self.turns = Turns(self.name, LEASE_S)


class Model:
    """Leases and announcements, and processes that come, go and stand still.

    A lease lasts while its owner lives, and for its time after; an announcement for a time of its
    own, which may be longer.
    """

    def __init__(self, areas: int, draw: st.DataObject) -> None:
        self.areas = [f"a{k:02}" for k in range(areas)]
        self.owners: dict[str, str | None] = dict.fromkeys(self.areas)
        self.expires: dict[str, float] = {}
        self.processes: dict[str, Process] = {}
        self.now = 0.0
        self.moves = 0
        self.takes = 0
        self._draw = draw
        self._count = 0

    def join(self) -> None:
        ttl_s = self._draw.draw(st.sampled_from([0.75, 0.75, 0.75, 3.0]), "announced for")
        self._count += 1
        name = f"p{self._draw.draw(st.integers(0, 9), 'name')}-{self._count}"
        look = self.now + self._draw.draw(st.integers(0, 10), "first look") * TICK_S
        self.processes[name] = Process(name, ttl_s, look)

    def leave(self, name: str) -> None:
        """End gracefully: leases are given back, the announcement removed."""
        del self.processes[name]
        for area, owner in self.owners.items():
            if owner == name:
                self.owners[area] = None

    def kill(self, name: str) -> None:
        """End at once: leases and announcement end by themselves."""
        self.processes[name].frozen = True
        self.processes[name].next_look = float("inf")

    def living(self) -> list[str]:
        return [name for name, each in self.processes.items() if not each.frozen]

    def run(self, seconds: float) -> None:
        for _ in range(int(seconds / TICK_S)):
            self.now += TICK_S
            for area, owner in self.owners.items():
                if owner is not None and self.now > self.expires[area]:
                    self.owners[area] = None
            for process in list(self.processes.values()):
                if not process.frozen:
                    self._step(process)

    def _step(self, process: Process) -> None:
        for area, owner in self.owners.items():
            if owner == process.name:
                self.expires[area] = self.now + LEASE_S
        for area, ends in list(process.under_way.items()):
            if self.now < ends:
                continue
            del process.under_way[area]
            if self.owners[area] == process.name:
                self.owners[area] = None
                self.moves += 1
            elif self.owners[area] is None:  # the lease decides
                self.owners[area] = process.name
                self.expires[area] = self.now + LEASE_S
                self.takes += 1
        if self.now < process.next_look:
            return
        process.next_look = self.now + LOOK_S
        if self.now >= process.next_announcement:
            process.announced_until = self.now + process.ttl_s
            process.next_announcement = self.now + ANNOUNCE_S
        members: Members = {
            each.name: everywhere(self.areas)
            for each in self.processes.values()
            if each.announced_until > self.now or each is process
        }
        decision = process.turns.decide(members, dict(self.owners), self.now)
        chosen = set(decision.take) | ({decision.give} if decision.give else set())
        for area in sorted(chosen - process.under_way.keys()):
            ends = self.now + self._draw.draw(st.integers(0, 20), "takes") * TICK_S
            process.under_way[area] = ends


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["join", "join", "leave", "kill", "freeze", "thaw", "wait"]),
        st.integers(0, 5),
        st.sampled_from([0.02, 0.3, 1.1, 4.0]),
    ),
    max_size=7,
)


@given(st.integers(1, 9), EVENTS, st.data())
def test_processes_come_to_fair_shares_and_rest(
    areas: int, events: list[tuple[str, int, float]], data: st.DataObject
) -> None:
    model = Model(areas, data)
    model.join()
    for kind, which, seconds in events:
        names = sorted(model.processes)
        name = names[which % len(names)]
        frozen = model.processes[name].frozen
        if kind == "join" and len(names) < 5:
            model.join()
        elif kind in ("leave", "kill", "freeze") and len(model.living()) > 1 and not frozen:
            {"leave": model.leave, "kill": model.kill}.get(kind, model.kill)(name)
            if kind == "freeze":
                model.processes[name].next_look = model.now
        elif kind == "thaw":
            model.processes[name].frozen = model.processes[name].next_look == float("inf")
        model.run(seconds)
    # What is known to be dead is dead now; from here on nothing changes any more.
    model.run(5.0)
    living = model.living()
    before, at = needed(model.owners, living), model.moves
    model.run(5.0 + 1.5 * areas)
    assert all(owner in living for owner in model.owners.values())
    shares = loads_of(model.owners, living)
    assert max(shares) - min(shares) <= 1
    assert model.moves - at <= before, "no area moves more than needed"
    at, takes = model.moves, model.takes
    model.run(3.0)
    assert (model.moves, model.takes) == (at, takes), "nothing flaps"


def settle(members: Members, owners: dict[str, str | None], **turns: Turns) -> dict[str, str]:
    """Let processes look at the same moment until nothing changes; return who took what."""
    for round_ in range(200):
        for name, each in turns.items():
            decision = each.decide(members, dict(owners), round_ * LOOK_S)
            owners |= dict.fromkeys(decision.take, name)
            if decision.give is not None:
                owners[decision.give] = None
    return {area: owner for area, owner in owners.items() if owner is not None}


def test_a_process_that_is_killed_leaves_its_areas_to_the_others_and_no_other_area_moves() -> None:
    areas = [f"a{k:02}" for k in range(20)]
    owners: dict[str, str | None] = {area: "PQR"[k % 3] for k, area in enumerate(areas)}
    kept = {area: owner for area, owner in owners.items() if owner != "R"}
    orphans: dict[str, str | None] = {area: None for area in owners if owners[area] == "R"}
    members = {name: everywhere(areas) for name in "PQ"}
    turns = {name: Turns(name, LEASE_S) for name in "PQ"}
    after = settle(members, owners | orphans, **turns)
    assert Counter(after.values()) == {"P": 10, "Q": 10}
    assert kept.items() <= after.items()


def test_an_area_that_its_next_owner_does_not_take_goes_to_another() -> None:
    areas = ["a0", "a1", "a2"]
    owners: dict[str, str | None] = {"a0": "P", "a1": "P", "a2": None}
    members = {name: everywhere(areas) for name in "PQ"}  # Q has died, and is announced still
    after = settle(members, owners, P=Turns("P", LEASE_S))
    assert after == dict.fromkeys(areas, "P")


def test_where_all_have_failed_they_try_all_the_same() -> None:
    owners: dict[str, str | None] = {"a0": None}
    members = {name: everywhere(["a0"], Readiness.RELUCTANT) for name in "PQ"}
    after = settle(members, owners, P=Turns("P", LEASE_S), Q=Turns("Q", LEASE_S))
    assert after == {"a0": "P"}


def test_a_process_waits_its_time_for_each_whose_turn_it_is() -> None:
    """Q has died; R comes just before Q is passed over, and has its own time from then on."""
    owners: dict[str, str | None] = {"a0": None, "p0": "P", "p1": "P", "q0": "Q"}
    ready = everywhere(list(owners))
    turns, members = Turns("P", LEASE_S), {"P": ready, "Q": ready}
    assert turns.decide(members, owners, 0.0) == Decision()
    members |= {"R": ready}
    assert turns.decide(members, owners, 0.9) == Decision()
    for moment in (1.5, 1.9):
        assert turns.decide(members, owners, moment) == Decision()
    turns.decide(members, owners, 2.0)
    members.pop("Q")  # R is passed over, and Q is known to be dead
    assert turns.decide(members, owners, 2.1) == Decision(frozenset({"a0"}))


def test_a_process_does_not_pass_over_itself() -> None:
    owners: dict[str, str | None] = {"a0": None}
    members = {name: everywhere(["a0"]) for name in "PQ"}
    turns = Turns("P", LEASE_S)
    for moment in range(200):
        assert turns.decide(members, owners, moment / 2) == Decision(frozenset({"a0"}))


def test_an_area_that_nobody_can_serve_stops_no_other_move_for_long() -> None:
    owners: dict[str, str | None] = {"bad": None, "a1": "P", "a2": "P"}
    members = {name: everywhere(["a1", "a2"]) | {"bad": Readiness.AWAY} for name in "PQ"}
    turns = Turns("P", LEASE_S)
    assert turns.decide(members, owners, 0.0) == Decision()
    assert turns.decide(members, owners, 10.5) == Decision(give="a1")


@given(st.lists(st.sampled_from(Readiness)))
def test_a_word_says_what_a_process_is_ready_for(readiness: list[Readiness]) -> None:
    assert readiness_of(word_of(readiness), len(readiness)) == readiness


@pytest.mark.parametrize("word", ["", "22", "2222", "2a2", "223", "٢٢٢"])
def test_a_word_of_another_form_is_ready_for_nothing(word: str) -> None:
    assert readiness_of(word, 3) == [Readiness.AWAY] * 3
