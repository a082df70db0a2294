"""The comparison of principles of fairness on one interval, as a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from doe_allocation.fairness.figures import FairnessFigures
from doe_allocation.fairness.principles import (
    TAKE_NO_WEIGHTS,
    ComparedShare,
    Fairness,
    LevelScope,
    Rule,
)
from gateway.formats.faults import InputFaults
from gateway.formats.records import Record, Time
from gateway.scenario.intervals import DeliveryInterval
from gateway.scenario.scenario import Scenario
from security_check.arrays import IntArray
from security_check.errors import Fault, GridError
from security_check.model.envelope import EnvelopeSet

_TOLERANCE = 1e-6  # parts of a limit: error of the power flow
_SAMPLES = 512  # random vertices of the attack on each principle's envelopes


class RuleRecord(Record):
    """One principle: its parameters, its figures in watts, and the adversary's finding."""

    rule: str
    alpha: float | None
    over: str
    common: str
    in_force: bool
    minimum_w: int
    injection_sum_w: int
    withdrawal_sum_w: int
    sum_w: int
    jain: float
    price_of_fairness: float
    secure: bool
    worst_element: str
    worst_loading: float


class FairnessFile(Record):
    """All principles on the interval from ``start`` to ``end``."""

    start: Time
    end: Time
    rules: list[RuleRecord]


def principles_of(scenario: Scenario) -> list[Fairness]:
    """Return the principles to compare: one of each kind, and the scenario's own."""
    usual = [
        Fairness(),
        Fairness(over=ComparedShare.WIDTH),
        Fairness(Rule.EQUAL),
        Fairness(Rule.EQUAL, common=LevelScope.ALL),
        Fairness(Rule.PROPORTIONAL_TO_CAPACITY),
        Fairness(Rule.ALPHA, alpha=4.0),
        Fairness(Rule.ALPHA, alpha=2.0),
        Fairness(Rule.PROPORTIONAL),
        Fairness(Rule.ALPHA, alpha=0.5),
        Fairness(Rule.MAXIMUM_SUM),
    ]
    return list(dict.fromkeys([*usual, scenario.fairness.principle]))


def compare(
    scenario: Scenario,
    interval: DeliveryInterval,
    principles: list[Fairness],
    seed: int,
    step: Callable[[int], None],
) -> FairnessFile:
    """Return the figures of every principle; the maximum sum must be among them.

    Raises
    ------
    InputFaults
        With every principle under which the interval has no envelopes, and the reason.
    """
    found: list[tuple[Fairness, IntArray, RuleRecord]] = []
    faults: list[Fault] = []
    for done, principle in enumerate(principles, start=1):
        try:
            found.append(_allocated(scenario, interval, principle, seed))
        except GridError as error:
            faults.append(Fault(principle.title, str(error)))
        step(done)
    if faults:
        raise InputFaults(scenario.source, faults)
    # The maximum sum is a local optimum: if another principle has a larger sum, that one counts.
    largest = float(max(record.sum_w for _, _, record in found))
    records = []
    for _, limits_w, record in found:
        figures = FairnessFigures.of(limits_w.astype(float), largest)
        records.append(
            record.model_copy(update={"jain": figures.jain, "price_of_fairness": figures.price})
        )
    return FairnessFile(start=interval.start, end=interval.end, rules=records)


def _allocated(
    scenario: Scenario, interval: DeliveryInterval, principle: Fairness, seed: int
) -> tuple[Fairness, IntArray, RuleRecord]:
    terms = scenario.fairness
    weights = np.ones_like(terms.weights) if principle.rule in TAKE_NO_WEIGHTS else terms.weights
    grid = replace(scenario, fairness=replace(terms, principle=principle, weights=weights)).grid()
    limits = interval.interface_limits
    envelopes: EnvelopeSet = grid.allocate(limits).envelopes()
    limits_w = np.concatenate([envelopes.injection_w, envelopes.withdrawal_w])
    worst = grid.attack(limits, limits_w, np.random.default_rng(seed), samples=_SAMPLES)
    counts = limits_w[scenario.capacity.upper_w() > 0]
    return (
        principle,
        counts,
        RuleRecord(
            rule=str(principle.rule),
            alpha=principle.alpha,
            over=str(principle.over),
            common=str(principle.common),
            in_force=principle == terms.principle,
            minimum_w=int(counts.min()) if len(counts) else 0,
            injection_sum_w=int(envelopes.injection_w.sum()),
            withdrawal_sum_w=int(envelopes.withdrawal_w.sum()),
            sum_w=int(limits_w.sum()),
            jain=1.0,
            price_of_fairness=0.0,
            secure=bool(worst.violation <= _TOLERANCE),
            worst_element=worst.element,
            worst_loading=1.0 + float(worst.violation),
        ),
    )
