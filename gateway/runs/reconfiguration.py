"""The search over the configurations of a scenario (``topology``), and its result as a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from doe_allocation.capacity import Capacity
from doe_allocation.reconfiguration.choices import Configuration
from doe_allocation.reconfiguration.pi_branches import NotTwoEndedError
from doe_allocation.reconfiguration.refutation import RadialRefuter
from doe_allocation.reconfiguration.relaxation import bound_by_relaxation
from doe_allocation.reconfiguration.search import Assessment, SearchOutcome, best_configuration
from gateway.formats.faults import InputFaults
from gateway.formats.records import Record
from gateway.scenario.actions import Actions
from gateway.scenario.scenario import Scenario
from security_check.arrays import IntArray
from security_check.errors import Fault
from security_check.model.limits import InterfaceLimits
from security_check.model.network import Network

_SAMPLES = 512  # random vertices of the attack for each contract, besides those of sensitivities


class ConfigurationRecord(Record):
    """A configuration and its fair envelopes; limits over all intervals, in watts.

    ``smallest_uncapped_limit_w`` is the smallest limit below its connection's capacity,
    ``smallest_w`` the smallest one of the connections with a capacity in that direction.
    """

    closed: list[str]
    open: list[str]
    taps: dict[str, int]
    radial: bool
    secure: bool
    infeasible_reason: str
    operations: list[str]
    smallest_uncapped_limit_w: int | None
    smallest_w: int | None
    mean_injection_w: float | None
    mean_withdrawal_w: float | None


class TopologyFile(Record):
    """The present configuration, the best one found, and a bound for all others."""

    present: ConfigurationRecord
    best: ConfigurationRecord | None
    exact: bool
    bound_w: int
    gap_w: int
    bound_unavailable_reason: str
    configurations: float
    evaluated: int
    proved_worse: int
    rejected: dict[str, int]
    adversary_loading: float | None


class _Allocations:
    """The allocation of a scenario in any configuration, once for each different contract."""

    def __init__(self, scenario: Scenario, actions: Actions) -> None:
        self._scenario, self._actions = scenario, actions
        self.contracts = tuple(
            dict.fromkeys(interval.interface_limits for interval in scenario.intervals)
        )

    def scenario_in(self, configuration: Configuration) -> Scenario:
        """Return the scenario with its network in a configuration."""
        network, forecast_series = self._actions.network(self._actions.switched.set(configuration))
        return replace(self._scenario, network=network, forecast_series=forecast_series)

    def __call__(self, configuration: Configuration) -> IntArray:
        """Return the limits under all contracts, after one another."""
        grid = self.scenario_in(configuration).grid()
        return np.concatenate([grid.allocate(each).limits_w for each in self.contracts])

    def loading(self, best: Assessment, seed: int) -> float:
        """Return the loading of the fullest element at the worst point that the adversary finds."""
        grid = self.scenario_in(best.configuration).grid()
        rng = np.random.default_rng(seed)
        parts = np.split(best.limits_w, len(self.contracts))
        return max(
            1.0 + grid.attack(contract, limits_w, rng, samples=_SAMPLES).violation
            for contract, limits_w in zip(self.contracts, parts, strict=True)
        )


def choose_topology(scenario: Scenario, step: Callable[[int], None], seed: int = 0) -> TopologyFile:
    """Return the best configuration of a scenario with actions, for all its intervals together.

    Raises
    ------
    InputFaults
        When the scenario has no actions, or no configuration is radial and allowed.
    """
    actions = scenario.actions
    if actions is None:
        detail = "this section is missing; it names the switches and taps that may be changed"
        raise InputFaults(scenario.source, [Fault("actions", detail)])
    scenario.refuse_changes()
    choices = actions.switched.choices(actions.most_operations)
    allocations = _Allocations(scenario, actions)
    contracts, capacity = allocations.contracts, scenario.capacity
    refuter, why_none = _refuter(scenario, actions, contracts)

    def relax() -> tuple[float, Configuration | None]:
        if refuter is None:
            return np.inf, None
        found = bound_by_relaxation(
            refuter.switched, choices, scenario.voltage_limits, contracts, capacity
        )
        return found.bound_w, found.configuration

    outcome = best_configuration(
        choices,
        allocations,
        np.tile(capacity.upper_w(), len(contracts)),
        refuter=refuter,
        relax=relax,
        exact_limit=actions.exact_limit,
        evaluations=actions.evaluations,
        step=step,
    )
    if outcome.exact and not outcome.configurations:
        raise InputFaults(scenario.source, [Fault("actions", _none_allowed(actions))])
    loading = None if outcome.best is None else allocations.loading(outcome.best, seed)
    return _file(actions, outcome, choices.present, why_none, loading, capacity)


def _refuter(
    scenario: Scenario, actions: Actions, contracts: tuple[InterfaceLimits, ...]
) -> tuple[RadialRefuter | None, str]:
    """Return the refuter of configurations, or why there is none."""

    def build(net: object) -> Network:
        return actions.network(net)[0]

    try:
        # Expected powers suffice: envelopes must be secure for those, too.
        switched = actions.switched.branches(build)
        return RadialRefuter(switched, scenario.voltage_limits, contracts, scenario.capacity), ""
    except NotTwoEndedError as error:
        return None, str(error)


def _none_allowed(actions: Actions) -> str:
    if actions.most_operations is None:
        return "no choice of switches supplies every bus without a loop"
    return (
        f"no radial configuration is within {actions.most_operations} operations of the present one"
    )


def _file(
    actions: Actions,
    outcome: SearchOutcome,
    present: Configuration,
    why_none: str,
    loading: float | None,
    capacity: Capacity,
) -> TopologyFile:
    best = outcome.best
    return TopologyFile.from_fields(
        outcome,
        present=_record(
            actions, present, present, outcome.present, outcome.present_fault, capacity
        ),
        best=None
        if best is None
        else _record(actions, present, best.configuration, best, "", capacity),
        bound_unavailable_reason=why_none,
        proved_worse=outcome.refuted,
        adversary_loading=loading,
    )


def _record(
    actions: Actions,
    present: Configuration,
    configuration: Configuration,
    found: Assessment | None,
    infeasible_reason: str,
    capacity: Capacity,
) -> ConfigurationRecord:
    switched = actions.switched
    named = list(zip(switched.switchable, configuration.closed, strict=True))
    points = len(capacity.connection_points)
    halves = None if found is None else found.limits_w.reshape(-1, 2, points)
    # A limit without capacity is zero in every configuration, and not compared.
    able = capacity.upper_w().reshape(2, points) > 0
    return ConfigurationRecord(
        closed=[name for name, closed in named if closed],
        open=[name for name, closed in named if not closed],
        taps=dict(zip(switched.tap_changers, configuration.taps, strict=True)),
        radial=not switched.graph.why_not_radial(configuration.closed),
        secure=found is not None,
        infeasible_reason=infeasible_reason,
        operations=switched.describe(present, configuration),
        smallest_uncapped_limit_w=None if found is None else found.smallest_uncapped_w,
        smallest_w=None if halves is None or not able.any() else int(halves[:, able].min()),
        mean_injection_w=None if halves is None else float(halves[:, 0].mean()),
        mean_withdrawal_w=None if halves is None else float(halves[:, 1].mean()),
    )
