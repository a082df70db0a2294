"""Procurement problems of the random feeders and of the published one."""

from __future__ import annotations

import functools
import json
from typing import Any

import numpy as np
from random_feeders import Feeder, as_text

from doe_allocation.procurement.problem import ProcurementProblem
from gateway.flexibility.case_loading import LoadedCases, SetChoice, read_cases
from gateway.formats.input_files import bundled

PUBLISHED_FILE = "flexibility/feeder-12bus.json"


@functools.cache
def published_text() -> bytes:
    return bundled(PUBLISHED_FILE).read_bytes()


def published_case() -> dict[str, Any]:
    case: dict[str, Any] = json.loads(published_text())
    return case


def published_problem(case: str, within: str = "box") -> ProcurementProblem:
    return read_cases(published_text(), "published").problem(case, SetChoice.parse(within))


def problem_of(case: dict[str, Any], within: str = "box", name: str = "a") -> ProcurementProblem:
    return loaded(case).problem(name, SetChoice.parse(within))


def loaded(case: dict[str, Any]) -> LoadedCases:
    return read_cases(as_text(case), "case")


def injected_w(problem: ProcurementProblem, power: np.ndarray) -> np.ndarray:
    """Return injected powers in watts, in the order of resources, as the oracle takes them."""
    return np.asarray(problem.change @ power) * problem.network.base_power_w


def feeder_of(case: dict[str, Any]) -> Feeder:
    return Feeder(case)
