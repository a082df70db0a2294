"""The file that ``coordinate`` writes: the same report for all schemes."""

from __future__ import annotations

from doe_allocation.procurement.choices import FlexDirection
from gateway.formats.records import Finite, Record


class AwardRecord(Record):
    """What a buyer has activated of an offer for an hour; var and EUR/Mvarh if reactive."""

    offer: str
    provider: str
    operator: str
    connection_point: str
    direction: str
    reactive: bool
    buyer: str
    power_w: int
    price_eur_per_mwh: Finite
    amount_eur: str


class BuyerRecord(Record):
    """What a buyer has activated altogether, and pays for an hour."""

    buyer: str
    upward_mw: Finite
    downward_mw: Finite
    reactive_mvar: Finite
    pays_eur: str


class OverloadRecord(Record):
    """A limit that is exceeded in the AC power flow; ``excess`` in parts of its scale."""

    operator: str
    element: str
    kind: str
    value: Finite
    limit: Finite
    unit: str
    excess: Finite


class InterfaceRecord(Record):
    """A DSO's interface to the TSO, in the AC power flow; power out of the DSO's area.

    Prices are what a MWh and a Mvarh out of the area are worth to the TSO; ``null`` where it clears
    nothing.  ``target`` is what was agreed, where the scheme agrees on power.
    """

    operator: str
    active_before_mw: Finite
    active_mw: Finite
    reactive_mvar: Finite
    voltage_pu: Finite
    active_price_eur_per_mwh: Finite | None
    reactive_price_eur_per_mvarh: Finite | None
    active_target_mw: Finite | None
    reactive_target_mvar: Finite | None
    voltage_target_pu: Finite | None


class PartyRecord(Record):
    """What a balance responsible party gets."""

    name: str
    wanted_mw: Finite
    power_mw: Finite


class ToldRecord(Record):
    """What one operator tells another, in all rounds."""

    sender: str
    receiver: str
    subject: str
    fields: list[str]
    messages: int
    bytes: int


class RangeEndRecord(Record):
    """An end of a range that a DSO states as secure: by the linear model, and found in AC."""

    operator: str
    quantity: str
    end: str
    stated: Finite
    found: Finite
    overloads: list[OverloadRecord]


class UnrelievableRecord(Record):
    """A limit that no use of the offers keeps."""

    operator: str
    element: str
    value: Finite
    limit: Finite
    unit: str


class MissingPowerRecord(Record):
    """Power beyond the offers that would be needed at a customer."""

    operator: str
    connection_point: str
    direction: FlexDirection
    power_mw: Finite


class SchemeShortfallRecord(Record):
    """What the offers cannot do, whatever the scheme."""

    detail: str
    enough: bool
    exceeded: list[UnrelievableRecord]
    unserved_mw: Finite
    missing: list[MissingPowerRecord]


class SchemeRecord(Record):
    """The result of one scheme."""

    scheme: str
    priority: str
    cost_eur: str
    wanted_mw: Finite
    delivered_mw: Finite
    unserved_mw: Finite
    unserved_eur: Finite
    buyers: list[BuyerRecord]
    awards: list[AwardRecord]
    balances_eur: dict[str, str]
    overloads: list[OverloadRecord]
    interfaces: list[InterfaceRecord]
    parties: list[PartyRecord]
    told: list[ToldRecord]
    told_bytes: int
    iterations: int
    rounds: int
    settled: bool
    source_pu: Finite
    ends: list[RangeEndRecord]
    shortfall: SchemeShortfallRecord | None
    seconds: Finite


class CoordinationFile(Record):
    """The file: limits that are exceeded with nothing activated, and one entry per scheme."""

    source: str
    overloads_before: list[OverloadRecord]
    schemes: list[SchemeRecord]
