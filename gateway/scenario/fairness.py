"""The fairness terms of a scenario: principle, weights, and the effect of earlier intervals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from doe_allocation.fairness.over_time import TimeCoupling
from doe_allocation.fairness.principles import (
    TAKE_NO_WEIGHTS,
    ComparedShare,
    Fairness,
    LevelScope,
    Rule,
)
from gateway.scenario.element_tables import (
    DEFAULT,
    missing_values,
    unknown_elements,
    values_for,
)
from gateway.scenario.schema import FairnessSection
from security_check.arrays import FloatArray
from security_check.errors import Fault


@dataclass(frozen=True, slots=True)
class FairnessTerms:
    """The terms by which the capacity of the network is shared.

    Parameters
    ----------
    principle
        The principle of fairness.
    weights
        Shape (2 c,), of the c connection points, injection first.
    coupling
        How earlier intervals change the weights; ``None`` if they do not.
    """

    principle: Fairness
    weights: FloatArray
    coupling: TimeCoupling | None


def build_fairness(
    section: FairnessSection, points: tuple[str, ...], faults: list[Fault]
) -> FairnessTerms | None:
    """Return the terms for ``points``, or ``None`` after adding every fault."""
    found = [*_faults_of_rule(section), *_faults_of_weights(section, points)]
    if found:
        faults += found
        return None
    of_point = values_for(section.weights, points, 1.0)
    principle = Fairness(
        Rule(section.rule), section.alpha, ComparedShare(section.over), LevelScope(section.common)
    )
    coupling = None
    if section.forgetting is not None:
        usual = TimeCoupling().gain if section.gain is None else section.gain
        coupling = TimeCoupling(section.forgetting, usual)
    return FairnessTerms(principle, np.tile(np.array(of_point, dtype=float), 2), coupling)


def _faults_of_rule(section: FairnessSection) -> Iterator[Fault]:
    rule = f'the rule is "{section.rule}"'
    if section.rule == "alpha" and section.alpha is None:
        yield Fault("fairness.alpha", 'it is missing; the rule "alpha" needs it')
    if section.rule != "alpha" and section.alpha is not None:
        yield Fault("fairness.alpha", f'it is for the rule "alpha", but {rule}')
    if section.over != "limits" and section.rule != "max_min":
        yield Fault("fairness.over", f'"width" is for the rule "max_min", but {rule}')
    common = ("equal", "proportional_to_capacity")
    if section.common != "direction" and section.rule not in common:
        detail = '"all" is for the rules "equal" and "proportional_to_capacity"'
        yield Fault("fairness.common", f"{detail}, but {rule}")
    if section.gain is not None and section.forgetting is None:
        yield Fault("fairness.gain", "it is given, but fairness.forgetting is not")
    if section.rule in TAKE_NO_WEIGHTS:
        for key, given in (
            ("weights", section.weights != {"default": 1.0}),
            ("forgetting", section.forgetting is not None),
        ):
            if given:
                yield Fault(f"fairness.{key}", f"it is given, but {rule}, which takes no weights")


def _faults_of_weights(section: FairnessSection, points: tuple[str, ...]) -> Iterator[Fault]:
    key = "fairness.weights"
    yield from unknown_elements(key, section.weights, {*points, DEFAULT})
    yield from missing_values(key, section.weights, points)
