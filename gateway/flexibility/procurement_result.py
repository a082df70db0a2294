"""The file that ``procure`` writes, one result for each case of its input."""

from __future__ import annotations

from typing import Literal

from doe_allocation.procurement.choices import CurrentShape, FlexDirection, Objective
from gateway.formats.records import Finite, Record


class ActivatedRecord(Record):
    """What a step of an offer activates, and the limit for whose sake."""

    resource: str
    bus: str
    direction: FlexDirection
    offered_kw: Finite
    price_eur_per_kwh: Finite
    activated_kw: Finite
    cost_eur_per_h: Finite
    because: str
    relief_per_kw: Finite
    tso_kw: Finite


class LimitRecord(Record):
    """A limit that binds: its value, and what a unit more of it is worth."""

    element: str
    quantity: str
    limit: Finite
    unit: str
    shadow_price_eur_per_h: Finite
    tso_shadow_price_kw: Finite
    robust: Finite
    ac_worst: Finite
    ac_percent: Finite
    given_away: Finite


class BranchState(Record):
    """Currents of a branch at its from end, in amperes, before and after activation."""

    element: str
    limit_a: Finite | None
    before_re_a: Finite
    before_im_a: Finite
    deviation_re_a: Finite
    deviation_im_a: Finite
    before_a: Finite
    robust_before_a: Finite
    ac_worst_before_a: Finite
    after_a: Finite
    robust_after_a: Finite
    ac_worst_after_a: Finite
    other_end_ac_worst_after_a: Finite


class BusState(Record):
    """Voltages of a bus, per unit, before and after activation."""

    element: str
    before_pu: Finite
    after_pu: Finite
    robust_lowest_before_pu: Finite
    robust_lowest_after_pu: Finite
    ac_lowest_before_pu: Finite
    ac_lowest_after_pu: Finite
    robust_highest_before_pu: Finite
    robust_highest_after_pu: Finite
    ac_highest_before_pu: Finite
    ac_highest_after_pu: Finite


class AttackRecord(Record):
    """The worst point that the adversary found: the fullest element there."""

    element: str
    value: Finite
    limit: Finite
    unit: str
    percent: Finite
    points_tried: int


class PolygonRecord(Record):
    """What the polygon gives away, compared with the circle, both in the linear model."""

    planes: int
    given_away_a: Finite
    given_away_percent: Finite
    circle_cost_eur_per_h: Finite
    circle_activated_kw: Finite


class TsoRecord(Record):
    """Flexibility kept for the TSO, and how the interface's power changes with all of it."""

    direction: FlexDirection
    available_kw: Finite
    interface_change_kw: Finite


class WorstDeviation(Record):
    """What a resource withdraws at the worst deviations of a limit, and what is expected of it."""

    resource: str
    expected_kw: Finite
    worst_kw: Finite


class NeedRecord(Record):
    """A limit that is exceeded without activation, in AC at its worst deviations."""

    element: str
    quantity: str
    value: Finite
    limit: Finite
    excess: Finite
    unit: str
    worst: list[WorstDeviation]


class ExceededRecord(Record):
    """A limit that no use of the offers keeps."""

    element: str
    value: Finite
    limit: Finite
    excess: Finite
    unit: str


class MissingRecord(Record):
    """Flexibility beyond the offers that would be needed."""

    resource: str
    bus: str
    direction: FlexDirection
    missing_kw: Finite


class ShortfallRecord(Record):
    """Why a case has no activation: a sentence, the limits, and what is missing."""

    detail: str
    exceeded: list[ExceededRecord]
    missing: list[MissingRecord]


class OutcomeRecord(Record):
    """An activation, why it is needed, and its verification."""

    ac_secure: bool
    cost_eur_per_h: Finite
    activated_kw: Finite
    activated: list[ActivatedRecord]
    binding: list[LimitRecord]
    branches: list[BranchState]
    buses: list[BusState]
    adversary_before: AttackRecord | None
    adversary_after: AttackRecord | None
    linearisation_error_a: Finite
    linearisation_error_pu: Finite
    polygon: PolygonRecord | None
    tso: TsoRecord | None
    interface_before_kw: Finite
    interface_after_kw: Finite
    rounds: int


class ProcuredCase(Record):
    """One case in one interval: what is needed, its activation, or why there is none."""

    case: str
    interval: str | None
    needs: list[NeedRecord]
    outcome: OutcomeRecord | None
    shortfall: ShortfallRecord | None


class ProcurementFile(Record):
    """The file that ``procure`` writes."""

    source: str
    objective: Objective
    set: Literal["box", "budget", "ellipsoid"]
    set_size: Finite
    currents: CurrentShape
    planes: int
    ac_exact: bool
    interval_minutes: int | None
    cases: list[ProcuredCase]
