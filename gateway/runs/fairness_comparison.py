"""The comparison of principles of fairness on one interval, as a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from pydantic import Field

from doe_allocation.fairness.figures import FairnessFigures
from doe_allocation.fairness.principles import (
    TAKE_NO_WEIGHTS,
    ComparedShare,
    Fairness,
    LevelScope,
    Rule,
)
from exchange.vocabulary.formatting import format_time
from gateway.formats.envelope_file import (
    FairnessReached,
    IntervalRecord,
    IntervalStatus,
    ViolationRecord,
    unsecured_sentence,
)
from gateway.formats.records import Record, Time
from gateway.runs.allocation import allocated_record, limits_of
from gateway.runs.unsecured import unsecured_record
from gateway.scenario.intervals import DeliveryInterval
from gateway.scenario.scenario import Scenario
from security_check.arrays import IntArray
from security_check.errors import Fault, GridError
from security_check.verification.adversary import Finding

_TOLERANCE = 1e-6  # parts of a limit: error of the power flow
_SAMPLES = 512  # random vertices of the attack on each principle's envelopes


class RuleRecord(Record):
    """One principle: its parameters, what it publishes, and the adversary's finding.

    Figures are those of the published limits, and ``None`` where nothing is published.
    """

    rule: str
    alpha: float | None
    over: str
    common: str
    in_force: bool
    status: IntervalStatus
    reason: str = ""
    violations: list[ViolationRecord] = Field(default_factory=list)
    fairness: FairnessReached = ""
    minimum_w: int | None = None
    injection_sum_w: int | None = None
    withdrawal_sum_w: int | None = None
    sum_w: int | None = None
    jain: float | None = None
    price_of_fairness: float | None = None
    secure: bool = False
    worst_element: str = ""
    worst_loading: float | None = None

    @property
    def principle(self) -> Fairness:
        """The principle as the allocation knows it."""
        share, scope = ComparedShare(self.over), LevelScope(self.common)
        return Fairness(Rule(self.rule), self.alpha, share, scope)


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

    Where a principle cannot be secured, its record says so, as that of an interval does.
    """
    upper_w = scenario.capacity.upper_w()
    found = []
    for done, principle in enumerate(principles, start=1):
        found.append(_allocated(scenario, interval, principle, seed))
        step(done)
    # The maximum sum is a local optimum: if another principle has a larger sum, that one counts.
    largest = max((float(limits_of(published).sum()) for published, _ in found), default=0.0)
    rules = [
        _record(scenario, principle, published, worst, upper_w, largest)
        for principle, (published, worst) in zip(principles, found, strict=True)
    ]
    return FairnessFile(start=interval.start, end=interval.end, rules=rules)


def unsecured_rules(content: FairnessFile) -> list[Fault]:
    """Return a sentence if the interval could not be secured; it names the rules if not by any."""
    titles: dict[str, list[str]] = {}
    for each in content.rules:
        if sentence := unsecured_sentence(each.status, each.reason):
            titles.setdefault(sentence, []).append(each.principle.title)
    count = len(content.rules)
    details = [
        sentence if len(own) == count else f"by {', '.join(own)}: {sentence}"
        for sentence, own in titles.items()
    ]
    where = f"interval {format_time(content.start)}"
    return [Fault(where, "; ".join(details))] if details else []


def _allocated(
    scenario: Scenario, interval: DeliveryInterval, principle: Fairness, seed: int
) -> tuple[IntervalRecord, Finding | None]:
    """Return what a principle publishes, and the worst point in it that an adversary finds."""
    terms = scenario.fairness
    weights = np.ones_like(terms.weights) if principle.rule in TAKE_NO_WEIGHTS else terms.weights
    own = replace(scenario, fairness=replace(terms, principle=principle, weights=weights))
    try:
        grid = own.grid()
    except GridError as error:
        return unsecured_record(None, interval, scenario.capacity, error), None
    published = allocated_record(grid, interval, scenario.capacity, principle.rule, seed)
    if published.status is IntervalStatus.NONE:
        return published, None
    limits_w = limits_of(published).astype(np.int64)
    rng = np.random.default_rng(seed)
    return published, grid.attack(interval.interface_limits, limits_w, rng, samples=_SAMPLES)


def _record(
    scenario: Scenario,
    principle: Fairness,
    published: IntervalRecord,
    worst: Finding | None,
    upper_w: IntArray,
    largest_w: float,
) -> RuleRecord:
    """Return the record of a principle; ``largest_w`` is the largest sum of all principles."""
    record = RuleRecord.from_fields(
        published,
        rule=str(principle.rule),
        alpha=principle.alpha,
        over=str(principle.over),
        common=str(principle.common),
        in_force=principle == scenario.fairness.principle,
    )
    if worst is None:
        return record
    limits_w = limits_of(published)
    injection_w, withdrawal_w = limits_w.reshape(2, -1)
    counts_w = limits_w[upper_w > 0]
    figures = FairnessFigures.of(counts_w, largest_w)
    return record.model_copy(
        update={
            "minimum_w": int(figures.minimum),
            "injection_sum_w": int(injection_w.sum()),
            "withdrawal_sum_w": int(withdrawal_w.sum()),
            "sum_w": int(limits_w.sum()),
            "jain": figures.jain,
            "price_of_fairness": figures.price,
            "secure": bool(worst.violation <= _TOLERANCE),
            "worst_element": worst.element,
            "worst_loading": 1.0 + float(worst.violation),
        }
    )
