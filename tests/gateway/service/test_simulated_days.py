"""Whole days with faults in virtual time: nothing is lost, doubled, or told too early."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sampling import some
from simulated_day import Fault, Script, SimulatedDay, broken, shortened

from exchange.state.request_answers import RequestLog
from gateway.service.outbox import Republication
from gateway.service.service import Service

SEEDS = range(40)


def breaks(script: Script) -> bool:
    return broken(SimulatedDay(script)) is not None


def first_broken(seeds: range) -> Script:
    """Return the first script that breaks a promise."""
    return next(script for script in map(Script.drawn, seeds) if breaks(script))


@pytest.mark.slow
@pytest.mark.parametrize("seed", some(SEEDS))
def test_a_day_with_faults_keeps_all_promises(seed: int) -> None:
    day = SimulatedDay(Script.drawn(seed))
    day.run()
    assert day.entries > 100


def test_a_script_decides_everything() -> None:
    script = Script(7, (Fault(20.0, "kill", 0.5), Fault(30.0, "cut_client", 0.2)))
    days = [SimulatedDay(script) for _ in range(2)]
    for day in days:
        day.run()
    assert days[0].server.lines == days[1].server.lines
    assert len(days[0].server.lines) > 100


async def publish_first(service: Any, batch: Any) -> None:
    if batch.entries:
        service._outbox.publish(batch.entries[-1].sequence, batch.messages)
        await service._journal.append(batch.entries, service._outbox.published)
    service._transport.acknowledge(batch.received)


def know_no_change(log: Any, sender: str, request_id: str) -> Any:
    """Find the answers to orders, and none to what changed or cancelled one."""
    return None if request_id.startswith("r") else FIND(log, sender, request_id)


FIND = RequestLog.find


def publish_retained_once(republication: Any, core: Any) -> None:
    if republication._begun_for is None and not core.exchange.state.sessions:
        LOOK(republication, core)


LOOK = Republication.look
MISTAKES: dict[str, tuple[Any, str, Callable[..., Any], str]] = {
    "told before it is durable": (Service, "_commit", publish_first, "not durable"),
    "changes act twice": (RequestLog, "find", know_no_change, "twice"),
    "nothing is retained anew": (
        Republication,
        "look",
        publish_retained_once,
        "retained",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_made_on_purpose_are_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place, attribute, mistake, said = MISTAKES[name]
    monkeypatch.setattr(place, attribute, mistake)
    script = first_broken(range(20))
    short = shortened(script, breaks)
    assert len(short.faults) <= 1, short
    assert said in str(broken(SimulatedDay(short)))
