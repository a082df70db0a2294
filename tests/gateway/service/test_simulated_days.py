"""Whole days with faults in virtual time: nothing is lost, doubled, told too early, or insecure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from sampling import some
from simulated_broker import SimulatedLink
from simulated_day import SimulatedDay, broken
from simulated_faults import KINDS, Fault, Script, shortened
from simulated_journal import SimulatedJournal
from simulated_process import ExchangeProcess

from exchange.state.request_answers import RequestLog
from gateway.client.mirrors.point_envelopes import LimitsNow, LimitSource, PointEnvelopes
from gateway.errors import JournalError, StaleWriterError
from gateway.publishing.envelopes import EnvelopePublisher
from gateway.service.outbox import Republication
from gateway.service.service import Service

SEEDS = range(50)
ENOUGH_DAYS = 12  # for each mistake below to be found


def breaks(script: Script) -> bool:
    return broken(SimulatedDay(script)) is not None


@pytest.mark.slow
@pytest.mark.parametrize("seed", some(SEEDS, 10))
def test_a_day_with_faults_keeps_all_promises(seed: int) -> None:
    day = SimulatedDay(Script.drawn(seed))
    day.run()
    assert day.entries > 50


@pytest.mark.slow
def test_a_script_decides_everything() -> None:
    faults = (Fault(20.0, "kill", 0.5), Fault(30.0, "cut_client", 0.2), Fault(40.0, "stop", 0.3))
    days = [SimulatedDay(Script(7, faults)) for _ in range(2)]
    for day in days:
        day.run()
    assert days[0].server.lines == days[1].server.lines
    assert len(days[0].server.lines) > 100


@pytest.mark.slow
def test_devices_are_secure_on_a_feeder_with_ac_power_flow() -> None:
    """Devices miss the news for longer than envelopes hold, and others have bought meanwhile."""
    away = [Fault(at_s, "client_away", k / 12 + 0.07) for k, at_s in enumerate((30, 34, 44), 7)]
    SimulatedDay(Script(3, (*away, Fault(62.0, "stop", 0.5)), network=True)).run()


# -- mistakes made on purpose ---------------------------------------------------------------------


async def publish_first(service: Any, batch: Any) -> None:
    if batch.entries:
        service._outbox.publish(batch.entries[-1].sequence, batch.messages)
        await service._journal.append(batch.entries, service._outbox.published)
    service._transport.acknowledge(batch.received)


async def commit_in_any_case(service: Any, batch: Any) -> None:
    try:
        await COMMIT(service, batch)
    except StaleWriterError:
        raise
    except JournalError:
        service._outbox.publish(batch.entries[-1].sequence, batch.messages)
        raise


def know_no_change(log: Any, sender: str, request_id: str) -> Any:
    """Find the answers to orders, and none to what changed or cancelled one."""
    return None if request_id.startswith("r") else FIND(log, sender, request_id)


def publish_retained_once(republication: Any, core: Any) -> None:
    if republication._begun_for is None and not core.exchange.state.sessions:
        RETAINED(republication, core)


def grow_first(publisher: Any, before: Any, now: Any) -> Any:
    messages = MESSAGES(publisher, before, now)
    return messages[::-1]


def wall_clock(process: Any) -> Any:
    clock = START(process)
    return lambda: datetime.fromtimestamp(clock._wall_s(), UTC)


def keep_to(envelopes: Any, moment: Any, *, final: bool) -> Any:
    for each in envelopes.intervals:
        if each.start <= moment < each.end and (each.final or not final):
            limits_w = each.injection_limit_w, each.withdrawal_limit_w
            return LimitsNow(*limits_w, LimitSource.ENVELOPE, each.end)
    return LIMITS(envelopes, moment)


def keep_for_ever(envelopes: Any, now: Any) -> Any:
    return keep_to(envelopes, now, final=True)


def keep_to_any(envelopes: Any, now: Any) -> Any:
    known = LIMITS(envelopes, now)
    return keep_to(envelopes, now, final=False) if known.source == NOT_FINAL else known


async def ask_nobody(link: Any) -> None:
    pass


COMMIT, RETAINED, FIND = Service._commit, Republication.look, RequestLog.find
MESSAGES, LIMITS = EnvelopePublisher._messages, PointEnvelopes.limits
START, NOT_FINAL = ExchangeProcess._start, LimitSource.NOT_FINAL


@dataclass(frozen=True)
class Mistake:
    """Where it is made, what it breaks, and which faults bring it to light."""

    place: Any
    attribute: str
    made: Callable[..., Any]
    breaks: str
    kinds: tuple[str, ...] = ("cut_exchange",)


MISTAKES = {
    "told before it is durable": Mistake(Service, "_commit", publish_first, "not durable"),
    "told where the disk is full": Mistake(
        Service, "_commit", commit_in_any_case, "not durable", ("disk_full",)
    ),
    "changes act twice": Mistake(
        RequestLog, "find", know_no_change, "twice", ("kill", "lose_answer", "slow_links")
    ),
    "nothing is retained anew": Mistake(
        Republication, "look", publish_retained_once, "retained", ("restart_broker",)
    ),
    "limits grow before others shrink": Mistake(
        EnvelopePublisher, "_messages", grow_first, "with what is published"
    ),
    "a clock that jumps is believed": Mistake(
        ExchangeProcess, "_start", wall_clock, "early", ("clock_jump",)
    ),
    "a former writer writes": Mistake(
        SimulatedJournal, "_check_epoch", lambda journal: None, "writer 1", ("stop",)
    ),
    "a former writer publishes": Mistake(
        SimulatedLink, "_may", ask_nobody, "after writer", ("exchange_without_journal",)
    ),
    "a device keeps to what nobody confirms": Mistake(
        PointEnvelopes, "limits", keep_for_ever, "nothing has confirmed", ("client_away",)
    ),
    "a device keeps to what is not final": Mistake(
        PointEnvelopes, "limits", keep_to_any, "at the devices", ("client_away", "restart_device")
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("number", some(range(len(MISTAKES)), 5))
def test_mistakes_made_on_purpose_are_found(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    mistake = list(MISTAKES.values())[number]
    assert set(mistake.kinds) <= set(KINDS)
    monkeypatch.setattr(mistake.place, mistake.attribute, mistake.made)
    days = (Script.drawn(seed, 6, mistake.kinds) for seed in range(ENOUGH_DAYS))
    script = next(day for day in days if not day.network and breaks(day))
    short = shortened(script, breaks)
    assert len(short.faults) <= 2, short
    assert mistake.breaks in str(broken(SimulatedDay(short)))
