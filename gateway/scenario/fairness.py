"""What a scenario says about fairness: the principle, weights, and what the past counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from doe_allocation.fairness.over_time import TimeCoupling
from doe_allocation.fairness.principles import TAKE_NO_WEIGHTS, Common, Fairness, Over, Rule
from gateway.scenario.schema import FairnessSection
from security_check.arrays import FloatArray
from security_check.errors import Fault


@dataclass(frozen=True, slots=True)
class FairnessTerms:
    """By what envelopes of an area are divided.

    Parameters
    ----------
    principle
        The principle.
    weights
        Shape (2 c,), injection first.
    coupling
        How earlier intervals change the weights, if they do.
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
    of_point = [section.weights.get(point, section.weights.get("default", 1.0)) for point in points]
    principle = Fairness(
        Rule(section.rule), section.alpha, Over(section.over), Common(section.common)
    )
    coupling = None
    if section.forgetting is not None:
        usual = TimeCoupling().gain if section.gain is None else section.gain
        coupling = TimeCoupling(section.forgetting, usual)
    return FairnessTerms(principle, np.tile(np.array(of_point, dtype=float), 2), coupling)


def _faults_of_rule(section: FairnessSection) -> Iterator[Fault]:
    rule = f'the rule is "{section.rule}"'
    if section.rule == "alpha" and section.alpha is None:
        yield Fault("fairness.alpha", 'the rule "alpha" needs it')
    if section.rule != "alpha" and section.alpha is not None:
        yield Fault("fairness.alpha", f'it is for the rule "alpha", but {rule}')
    if section.over != "limits" and section.rule != "max_min":
        yield Fault("fairness.over", f'"width" is for the rule "max_min", but {rule}')
    common = ("equal", "proportional_to_capacity")
    if section.common != "direction" and section.rule not in common:
        wanted = '"all" is for the rules "equal" and "proportional_to_capacity"'
        yield Fault("fairness.common", f"{wanted}, but {rule}")
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
    for point in section.weights:
        if point not in (*points, "default"):
            yield Fault(
                point, "fairness.weights names it, but it is no connection point of the network"
            )
    if "default" not in section.weights:
        for point in points:
            if point not in section.weights:
                yield Fault(point, "fairness.weights has neither a value for it nor a default")
