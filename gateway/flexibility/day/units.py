"""From times and prices of a day's file to intervals and ticks, or faults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from gateway.flexibility.day.schema import DayWindow, FlexibilityDayFile
from security_check.errors import Fault


@dataclass(frozen=True)
class Units:
    """The intervals and the tick of a file.

    Parameters
    ----------
    start, step, count
        The intervals.
    tick
        In EUR per kW for one interval, or for a contract.
    """

    start: datetime
    step: timedelta
    count: int
    tick: Decimal

    @classmethod
    def of(cls, content: FlexibilityDayFile) -> Units:
        """Return the units of a file; a tick of 0 is a fault of the file, and is 1 here."""
        step = timedelta(minutes=content.interval_min)
        return cls(content.start, step, content.intervals, Decimal(content.tick) or Decimal(1))

    def window(self, place: str, given: DayWindow, faults: list[Fault]) -> range:
        """Return the intervals of a window; those of the day after adding a fault."""
        first = 0 if given.start is None else self.index(place, "from", given.start, faults)
        last = self.count if given.end is None else self.index(place, "to", given.end, faults)
        if first is None or last is None:
            return range(self.count)
        if first >= last:
            faults.append(Fault(place, "its window is empty: from is not before to"))
            return range(self.count)
        return range(first, last)

    def per_kw(self, place: str, price: str, faults: list[Fault]) -> int:
        """Return a price in EUR/kW in ticks; 0 after adding a fault."""
        return self._ticks(place, price, Decimal(price) / self.tick, "EUR/kW", faults)

    def per_kwh(self, place: str, price: str, faults: list[Fault]) -> int:
        """Return a price in EUR/kWh in ticks for one interval; 0 after adding a fault."""
        minutes = Decimal(self.step // timedelta(minutes=1))
        return self._ticks(
            place, price, Decimal(price) * minutes / 60 / self.tick, "EUR/kWh", faults
        )

    def per_interval(self, place: str, price: str, faults: list[Fault]) -> int:
        """Return EUR in ticks times a kW; 0 after adding a fault."""
        return self._ticks(place, price, Decimal(price) / self.tick, "EUR", faults)

    def watt_intervals(self, place: str, energy_wh: int, faults: list[Fault]) -> int:
        """Return an energy in watt-intervals; 0 after adding a fault."""
        minutes = self.step // timedelta(minutes=1)
        whole, rest = divmod(energy_wh * 60, minutes)
        if rest:
            detail = f"{energy_wh:,} Wh are not whole watts for intervals of {minutes} min"
            faults.append(Fault(place, detail))
            return 0
        return whole

    def kwh(self, watt_intervals: int) -> str:
        """Return watt-intervals in kWh, rounded to 12 digits where they are not exact."""
        minutes = self.step // timedelta(minutes=1)
        return _plain(round(Decimal(watt_intervals) * minutes / 60_000, 12))

    def eur_per_kw(self, ticks: int) -> str:
        """Return a price in EUR/kW."""
        return _plain(self.tick * ticks)

    def eur_per_kwh(self, ticks: int) -> str:
        """Return a price for one interval in EUR/kWh."""
        minutes = self.step // timedelta(minutes=1)
        return _plain(self.tick * ticks * 60 / minutes)

    def eur(self, tick_watts: int) -> str:
        """Return an amount in EUR, exact."""
        return _plain((self.tick * tick_watts).scaleb(-3))

    def start_of(self, interval: int) -> datetime:
        """Return the start of an interval."""
        return self.start + interval * self.step

    def _ticks(self, place: str, price: str, ticks: Decimal, unit: str, faults: list[Fault]) -> int:
        if ticks == ticks.to_integral_value():
            return int(ticks)
        each = f"{self.tick} EUR/kW, {self.step // timedelta(minutes=1)} min an interval"
        faults.append(Fault(place, f"price {price} {unit} is not in whole ticks of {each}"))
        return 0

    def index(self, place: str, key: str, moment: datetime, faults: list[Fault]) -> int | None:
        """Return the interval that starts then, or their number at the day's end.

        ``None`` after adding a fault.
        """
        index, rest = divmod(moment - self.start, self.step)
        if rest or not 0 <= index <= self.count:
            end = self.start + self.count * self.step
            grid = f"{self.start:%Y-%m-%dT%H:%MZ} to {end:%Y-%m-%dT%H:%MZ}"
            detail = f"{key} {moment:%Y-%m-%dT%H:%M:%SZ} is not a start of an interval from {grid}"
            faults.append(Fault(place, detail))
            return None
        return index


def _plain(value: Decimal) -> str:
    return f"{value.normalize() + 0:f}"


def quantities(given: int | Sequence[int], count: int) -> tuple[int, ...]:
    """Return a quantity for each of some intervals."""
    return (given,) * count if isinstance(given, int) else tuple(given)
