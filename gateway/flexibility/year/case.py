"""Read the file of a year of a flexibility market: its days, or all faults at once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from exchange.flexibility.products.flex_day import FlexDay
from gateway.flexibility.day.case import DayCase, day_path, load_day
from gateway.flexibility.year.faults import year_faults
from gateway.flexibility.year.profiles import generated
from gateway.flexibility.year.schema import FlexibilityYearFile
from gateway.formats.atomic_files import keep_input
from gateway.formats.faults import InputFaults, sentences
from gateway.formats.input_files import named_file, parsed_json, read_bytes, read_toml, shown_name
from gateway.scenario.intervals import Span
from gateway.scenario.profiles.time_tables import read_time_table
from security_check.arrays import FloatArray, IntArray
from security_check.errors import Fault

_FOLDER = "flexibility/years"


@dataclass(frozen=True)
class Plant:
    """A renewable plant: its resource, the index of its bus, and its power at a share of 1.

    ``unit_w`` has the shape (T,).
    """

    resource: str
    bus: int
    unit_w: FloatArray

    def power_w(self, share: float) -> IntArray:
        """Return its power at a share of renewable energy, whole watts, shape (T,)."""
        watts: IntArray = np.floor(share * self.unit_w).astype(np.int64)
        return watts


@dataclass(frozen=True)
class YearCase:
    """A year as it was read.

    Parameters
    ----------
    source, description
        Name of the file, and what it says of itself.
    market
        The day that is run again and again.
    start
        Start of the first day.
    days
        Numbers of the days that are run.
    shares
        Renewable energy in parts of what loads take, both over the whole year.
    load_w
        Shape (T, n), what loads take at each bus, whole watts.
    plants
        The plants.
    digest
        Of everything that the results follow from.
    """

    source: str
    description: str
    market: DayCase
    start: datetime
    days: tuple[int, ...]
    shares: tuple[float, ...]
    load_w: IntArray
    plants: tuple[Plant, ...]
    digest: str

    def window(self, day: int) -> slice:
        """Return the intervals of a day among those of the year."""
        count = self.market.day.count
        return slice(day * count, (day + 1) * count)

    def start_of(self, day: int) -> datetime:
        """Return the start of a day."""
        return self.start + timedelta(days=day)

    def day(self, share: float, day: int) -> FlexDay:
        """Return a day of the market at a share.

        Loads and plants are added to what the day's file lets buses inject.  A plant can go down
        by what it generates.
        """
        market, window = self.market.day, self.window(day)
        assert market.grid is not None
        injection = market.grid.injection_w - self.load_w[window]
        able_w = dict(market.able_w)
        for plant in self.plants:
            power = plant.power_w(share)[window]
            injection[:, plant.bus] += power
            for t, watts in enumerate(power.tolist()):
                key = plant.resource, t
                able_w[key] = min(able_w.get(key, watts), watts)
        grid = replace(market.grid, injection_w=injection)
        return replace(market, start=self.start_of(day), grid=grid, able_w=able_w)


def year_path(name: str) -> Path:
    """Return the file of a year: a path that exists, or the name of one in the project.

    Raises
    ------
    InputFaults
        When the project has no year of that name.
    """
    path = Path(name)
    plain = path.name == name and not path.suffix and ":" not in name and not path.exists()
    return named_file(f"bundled:{name}" if plain else name, "year", _FOLDER)


def load_year(path: Path, every: int = 1) -> YearCase:
    """Return the year of a file (TOML, or JSON by its ending), of which each ``every``-th day runs.

    Raises
    ------
    InputFaults
        With every fault of the file; faults of the day that it names come alone.
    """
    source = shown_name(path)
    text = read_bytes(path)
    if path.suffix == ".json":
        content = parsed_json(FlexibilityYearFile, text, source)
    else:
        try:
            content = FlexibilityYearFile.model_validate(read_toml(path))
        except ValidationError as error:
            raise InputFaults(source, sentences(error)) from None
    beside = path.parent / content.day
    named = beside if beside.is_file() else day_path(content.day)
    keep_input(named, f"the day of {source}")
    if content.profiles.file is not None:
        keep_input(path.parent / content.profiles.file, f"the profiles of {source}")
    market = load_day(named)
    faults: list[Fault] = list(year_faults(content, market))
    step = market.units.step
    count = content.days * market.day.count
    profiles = {} if faults else _profiles(content, path.parent, step, count, faults)
    faults += _unknown(content, profiles) if profiles else ()
    if faults:
        raise InputFaults(source, dict.fromkeys(faults))
    load_w, plants = _powers(content, market, profiles)
    faults += _too_large(content, market, plants)
    if faults:
        raise InputFaults(source, faults)
    files = [text, read_bytes(named)]
    if content.profiles.file is not None:
        files.append(read_bytes(path.parent / content.profiles.file))
    return YearCase(
        source,
        content.description,
        market,
        content.start,
        tuple(range(0, content.days, every)),
        tuple(content.shares),
        load_w,
        plants,
        _digest(files, every),
    )


def _digest(files: list[bytes], every: int) -> str:
    digest = hashlib.sha256(f"{version('doe-exchange')} {every}".encode())
    for each in files:
        digest.update(hashlib.sha256(each).digest())
    return digest.hexdigest()


def _profiles(
    content: FlexibilityYearFile, folder: Path, step: timedelta, count: int, faults: list[Fault]
) -> dict[str, FloatArray]:
    """Return each profile, shape (T,); empty after adding faults."""
    starts = [content.start + k * step for k in range(count)]
    given = content.profiles
    if given.file is None:
        return generated(given.seed or 0, starts, step)
    table = read_time_table(folder / given.file, "profiles.file", Span(starts, step), faults)
    if table is None:
        return {}
    found = {}
    for k, name in enumerate(table.columns):
        values = table.values[:, k]
        if (values < 0.0).any():
            worst = int(values.argmin())
            faults.append(table.fault(name, worst, f"{values[worst]:g} is below 0"))
        found[name] = values
    return found


def _unknown(content: FlexibilityYearFile, profiles: dict[str, FloatArray]) -> list[Fault]:
    """Return a fault for each profile that is not there, or has no energy."""
    known = ", ".join(profiles)
    users = [(f"loads.{each.bus}", each.profile) for each in content.loads]
    users += [(f"plants.{each.resource}", each.profile) for each in content.plants]
    faults = []
    for place, name in users:
        if name not in profiles:
            faults.append(Fault(place, f"there is no profile {name}; there is {known}"))
        elif not profiles[name].sum() > 0.0:
            faults.append(Fault(place, f"profile {name} is 0 in every interval"))
    return faults


def _powers(
    content: FlexibilityYearFile, market: DayCase, profiles: dict[str, FloatArray]
) -> tuple[IntArray, tuple[Plant, ...]]:
    """Return loads, shape (T, n), and plants at a share of 1."""
    grid = market.day.grid
    assert grid is not None
    buses = grid.network.buses
    load_w = np.zeros((content.days * market.day.count, len(buses)), dtype=np.int64)
    for each in content.loads:
        watts = np.round(each.scale_w * profiles[each.profile]).astype(np.int64)
        load_w[:, buses.index(each.bus)] += watts
    energy = float(load_w.sum())  # watt-intervals
    plants = []
    for own in content.plants:
        profile = profiles[own.profile]
        unit_w = own.part * energy * profile / profile.sum()
        bus = market.day.resources[own.resource].bus
        assert bus is not None
        plants.append(Plant(own.resource, buses.index(bus), unit_w))
    return load_w, tuple(plants)


def _too_large(
    content: FlexibilityYearFile, market: DayCase, plants: tuple[Plant, ...]
) -> list[Fault]:
    """Return a fault for each plant that generates more than it can go down by."""
    faults = []
    for each in plants:
        highest = int(each.power_w(content.shares[-1]).max())
        able_w = market.day.resources[each.resource].down_w
        if highest > able_w:
            detail = f"at a share of {content.shares[-1]:g} it generates {highest:,} W, in the "
            detail += f"day it can go down by {able_w:,} W"
            faults.append(Fault(f"plants.{each.resource}", detail))
    return faults
