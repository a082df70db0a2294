"""Garbage is collected in parts: of new objects only, and as before when the service ends."""

from __future__ import annotations

import gc
import weakref

from listening import until

from gateway.service.garbage import PART, collected_in_parts


class Node:
    """Something that can be in a cycle."""

    def __init__(self) -> None:
        self.other: Node | None = None


def cycle() -> Node:
    first, second = Node(), Node()
    first.other, second.other = second, first
    return first


async def test_new_garbage_is_freed_and_what_stays_is_never_looked_at_again() -> None:
    async with collected_in_parts():
        assert not gc.isenabled()
        before = gc.get_freeze_count()
        kept = [[number] for number in range(2 * PART)]
        lost = weakref.ref(cycle())
        assert lost() is not None
        await until(lambda: lost() is None)
        assert gc.get_freeze_count() >= before + len(kept)
        assert len(gc.get_objects()) < PART, "the next look has little to do"
        again = weakref.ref(cycle())
        more = [[number] for number in range(2 * PART)]
        await until(lambda: again() is None)
        assert len(kept) == len(more)
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


async def test_reference_counts_free_what_is_no_longer_looked_at() -> None:
    async with collected_in_parts():
        node = Node()
        kept = [[number] for number in range(2 * PART)]
        there = weakref.ref(node)
        await until(lambda: gc.get_freeze_count() > len(kept))
        del node
        assert there() is None


async def test_it_ends_as_before_when_the_body_fails() -> None:
    try:
        async with collected_in_parts():
            raise KeyError("a fault")
    except KeyError:
        pass
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
