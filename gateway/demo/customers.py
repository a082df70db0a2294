"""The customers of the demo: their devices, and the power they want to exchange.

Needs come from the bundled profiles of one day.  Devices, their sizes and their times of use are
drawn with a seed, so the same seed gives the same day.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from security_check.arrays import FloatArray, IntArray
from security_check.model.envelope import Direction

QUARTERS = 96
_HOURS = 0.25
_PHOTOVOLTAICS = ("PV1", "PV3", "PV5", "PV8")
_HOUSEHOLDS = ("H0-A", "H0-B", "H0-C", "H0-G", "H0-L")
_BUSINESSES = ("G1-A", "G1-C", "G4-A", "G4-B", "G6-A")
_HEAT_PUMPS = ("Air_Parallel_1", "Soil_Alternative_1")
_CHARGERS = ("HLS_A_11.0", "HLS_B_3.7", "HLS_A_3.7")


class CustomerKind(StrEnum):
    """Kinds of customers, by their reason to trade."""

    SOLAR = "solar"
    CAR = "car"
    HEAT = "heat"
    SHOP = "shop"
    HOME = "home"

    @property
    def description(self) -> str:
        """One line for the demo report."""
        return _DESCRIPTIONS[self]


_DESCRIPTIONS = {
    CustomerKind.SOLAR: "large photovoltaics: wants injection limit at noon",
    CustomerKind.CAR: "charges a car: wants withdrawal limit in the evening",
    CustomerKind.HEAT: "heat pump: wants withdrawal limit when it runs",
    CustomerKind.SHOP: "business: wants withdrawal limit in working hours",
    CustomerKind.HOME: "household: sells what it does not need",
}
# Customers of each kind among ten; the rest are households.
_OF_TEN = (
    (CustomerKind.SOLAR, 3),
    (CustomerKind.CAR, 2),
    (CustomerKind.HEAT, 2),
    (CustomerKind.SHOP, 1),
)


@dataclass(frozen=True, slots=True)
class Customer:
    """One customer: its connection, its needs, and their value.

    Parameters
    ----------
    participant, connection_point
        Name and connection point.
    kind
        Its reason to trade.
    injection_need_w, withdrawal_need_w
        Shape (96,), the power it would exchange in each quarter-hour if nothing limited it,
        in watts >= 0.
    value_eur_per_kwh
        Its cost of a kilowatt-hour that it cannot exchange.
    reserve_eur_per_kwh
        Its lowest price for a kilowatt-hour of limit that it does not need.
    """

    participant: str
    connection_point: str
    kind: CustomerKind
    injection_need_w: IntArray
    withdrawal_need_w: IntArray
    value_eur_per_kwh: float
    reserve_eur_per_kwh: float

    def need_w(self, direction: Direction, quarter: int) -> int:
        """Return the power it would exchange in one direction in a quarter-hour."""
        needs = (
            self.injection_need_w if direction is Direction.INJECTION else self.withdrawal_need_w
        )
        return int(needs[quarter])


def read_profiles(path: Path) -> dict[str, FloatArray]:
    """Return the profiles of a day by name, each of shape (96,) and relative to its rating."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        name: np.array([float(row[name]) for row in rows]) for name in rows[0] if name != "time"
    }


def draw_customers(
    connection_points: Sequence[str], profiles: dict[str, FloatArray], seed: int
) -> tuple[Customer, ...]:
    """Return one customer for each connection point, in the order given.

    The kinds are spread over the network at random; names count within a kind: ``solar-03``.
    """
    draw = random.Random(seed)
    kinds = [kind for kind, of_ten in _OF_TEN for _ in range(len(connection_points) * of_ten // 10)]
    kinds += [CustomerKind.HOME] * (len(connection_points) - len(kinds))
    draw.shuffle(kinds)
    count = dict.fromkeys(CustomerKind, 0)
    customers = []
    for point, kind in zip(connection_points, kinds, strict=True):
        count[kind] += 1
        customers.append(_draw(f"{kind}-{count[kind]:02}", point, kind, profiles, draw))
    return tuple(customers)


def _draw(
    name: str, point: str, kind: CustomerKind, profiles: dict[str, FloatArray], draw: random.Random
) -> Customer:
    """Return a customer with the devices of its kind; powers in kW until the last step."""
    household = draw.uniform(4.0, 8.0) * profiles[draw.choice(_HOUSEHOLDS)]
    load_kw = household
    solar_kw = np.zeros(QUARTERS)
    value = draw.uniform(0.12, 0.30)
    match kind:
        case CustomerKind.SOLAR:
            solar_kw = draw.uniform(17.0, 29.0) * profiles[draw.choice(_PHOTOVOLTAICS)]
            value = draw.uniform(0.07, 0.14)
        case CustomerKind.CAR:
            # The profiles are of three cars; others come home up to two hours earlier or later.
            shape = np.roll(profiles[draw.choice(_CHARGERS)], draw.randrange(-8, 9))
            load_kw = household + draw.choice((11.0, 11.0, 22.0)) * shape
            value = draw.uniform(0.15, 0.55)
        case CustomerKind.HEAT:
            shape = np.roll(profiles[draw.choice(_HEAT_PUMPS)], draw.randrange(-4, 5))
            load_kw = household + draw.uniform(8.0, 14.0) * shape
            value = draw.uniform(0.20, 0.40)
        case CustomerKind.SHOP:
            load_kw = draw.uniform(14.0, 24.0) * profiles[draw.choice(_BUSINESSES)]
            value = draw.uniform(0.25, 0.45)
        case CustomerKind.HOME:
            pass
    net_kw = solar_kw - load_kw
    return Customer(
        participant=name,
        connection_point=point,
        kind=kind,
        injection_need_w=_watts(net_kw),
        withdrawal_need_w=_watts(-net_kw),
        value_eur_per_kwh=value,
        reserve_eur_per_kwh=draw.uniform(0.005, 0.04),
    )


def _watts(power_kw: FloatArray) -> IntArray:
    return np.ceil(np.maximum(power_kw, 0.0) * 1e3).astype(np.int64)


def energy_kwh(power_w: IntArray | FloatArray) -> float:
    """Return the energy of quarter-hours of power, in kWh."""
    return float(power_w.sum()) * _HOURS / 1e3
