"""An area: a network, its limits, its customers, and what can be computed of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from pandapower import pandapowerNet

from doe_exchange.arguments import as_time
from doe_exchange.envelopes import Envelopes
from doe_exchange.market import Market
from doe_exchange.tables import Tabular, frame_of
from gateway.formats.faults import InputFaults
from gateway.formats.input_files import bundled_names
from gateway.runs.allocation import allocate_intervals
from gateway.runs.unsecured import unsecured_faults
from gateway.scenario.fairness import build_fairness
from gateway.scenario.loading import build_scenario, load_scenario, scenario_path
from gateway.scenario.scenario import Scenario
from gateway.scenario.schema import FairnessSection, parse_section
from security_check.errors import Fault

Band = tuple[float, float] | Mapping[str, Any]
"""A pair (minimum, maximum) in per unit, or the entries of the scenario's section."""

Watts = float | Mapping[str, float] | pd.Series
"""Watts of every connection point, or by id; ``"default"`` stands for those not named."""

_TIMES = (("intervals", "start"), ("uncertainty", "issued"))
"""Entries of a scenario file that are times; here text does as well."""

_COLUMNS = {
    "connection_point": "string",
    "participant": "string",
    "node": "string",
    "injection_capacity_w": "int64",
    "withdrawal_capacity_w": "int64",
    "fallback_injection_w": "int64",
    "fallback_withdrawal_w": "int64",
}


class Area(Tabular):
    """A network, its limits, its customers and its delivery intervals.

    Parameters
    ----------
    scenario
        What a scenario file describes.

    Attributes
    ----------
    scenario
        The same; the packages beneath do more with it.

    Examples
    --------
    >>> import doe_exchange as dx
    >>> area = dx.Area.from_scenario("bundled:reference")
    >>> len(area.connection_points), area.intervals[0].isoformat()
    (41, '2000-01-01T00:00:00+00:00')
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario

    @staticmethod
    def bundled() -> list[str]:
        """Return the scenarios that ship with the project.

        >>> "bundled:reference" in Area.bundled()
        True
        """
        return [f"bundled:{name}" for name in bundled_names(".toml")]

    @classmethod
    def from_scenario(cls, name: Path | str) -> Self:
        """Return the area of a scenario file (TOML), or of one that ships with the project.

        Parameters
        ----------
        name
            A path, or ``"bundled:NAME"``.

        Raises
        ------
        InputFaults
            With every fault of the file, of the network it names, and of how they fit together.
        """
        return cls(load_scenario(scenario_path(str(name))))

    @classmethod
    def from_pandapower(
        cls,
        net: Any,
        *,
        capacity_w: Watts | tuple[Watts, Watts],
        interface: Band,
        voltage: Band = (0.9, 1.1),
        fallback_w: Watts | tuple[Watts, Watts] = 0,
        connection_points: str = "load",
        fairness: str | Mapping[str, Any] = "max_min",
        area: str = "area",
        **sections: Mapping[str, Any],
    ) -> Self:
        """Return the area of a pandapower net.

        Parameters
        ----------
        net
            The net, or the path of a pandapower JSON file.  Not modified.
        capacity_w
            What each connection point can carry, in watts: for both directions, or a pair
            (injection, withdrawal).
        interface
            The contracted voltage band at the external grid, (minimum, maximum) in per unit, or
            the entries of the section ``[interface]``.
        voltage
            Limits at every other bus, (minimum, maximum) in per unit, or the entries of
            ``[limits]``.
        fallback_w
            What each connection point may do without contact, in watts; as ``capacity_w``.
        connection_points
            The net's table whose elements in service are the connection points: ``"load"``,
            ``"sgen"``, ``"storage"`` or ``"asymmetric_load"``.
        fairness
            The rule by which envelopes are divided, or the entries of ``[fairness]``.
        area
            Name of the area.
        sections
            Further entries of a scenario file's sections (``docs/formats/scenario.md``), such as
            ``network={"passive": "as-given"}`` or ``market={"tick": "0.001"}``.

        Raises
        ------
        InputFaults
            With every fault of the net and of the arguments, named as in a scenario file.

        Examples
        --------
        >>> import pandapower.networks
        >>> import doe_exchange as dx
        >>> net = pandapower.networks.create_kerber_landnetz_freileitung_1()
        >>> dx.Area.from_pandapower(
        ...     net, capacity_w=(15_000, 10_000), interface=(0.98, 1.02), area="village")
        Area village: 13 connection points, 15 nodes, 1 interval, fairness max min
        connection_point participant  node  injection_capacity_w  ...
        """
        source, opened = _source_of(net)
        network = {"source": source, "connection_points": connection_points}
        content = _content(network, capacity_w, interface, voltage, fallback_w, fairness, sections)
        return cls(build_scenario(content | {"area": area}, Path(area), opened))

    @classmethod
    def from_opendss(
        cls,
        master: Path | str,
        *,
        capacity_w: Watts | tuple[Watts, Watts],
        interface: Band,
        voltage: Band = (0.9, 1.1),
        fallback_w: Watts | tuple[Watts, Watts] = 0,
        fairness: str | Mapping[str, Any] = "max_min",
        area: str = "area",
        **sections: Mapping[str, Any],
    ) -> Self:
        """Return the area of an OpenDSS master file (``.dss``); needs ``opendssdirect.py``.

        Every enabled load is a connection point ``"load:NAME"``; the parameters are those of
        :meth:`from_pandapower`.  A circuit with regulators needs a statement of where their taps
        are, such as ``network={"taps": "neutral"}`` (``docs/formats/scenario.md``).

        Raises
        ------
        InputFaults
            With every fault of the circuit and of the arguments.
        """
        network = {"source": str(Path(master).resolve())}
        content = _content(network, capacity_w, interface, voltage, fallback_w, fairness, sections)
        return cls(build_scenario(content | {"area": area}, Path(area)))

    # -- what it is -----------------------------------------------------------------------------

    @property
    def connection_points(self) -> tuple[str, ...]:
        """Ids of the connection points, in the network's order."""
        return self.scenario.network.connection_points

    @property
    def intervals(self) -> tuple[datetime, ...]:
        """Starts of the delivery intervals."""
        return tuple(interval.start for interval in self.scenario.intervals)

    @property
    def title(self) -> str:
        """Name, size and fairness of the area."""
        count = len(self.intervals)
        return (
            f"Area {self.scenario.area}: {len(self.connection_points)} connection points, "
            f"{len(self.scenario.network.nodes)} nodes, {count} interval{'s' * (count > 1)}, "
            f"fairness {self.scenario.fairness.principle.title}"
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row for each connection point: owner, node, capacities and fallbacks."""
        return frame_of(
            _COLUMNS,
            (
                (
                    terms.connection_point,
                    terms.participant,
                    node,
                    terms.injection_capacity_w,
                    terms.withdrawal_capacity_w,
                    terms.fallback_injection_w,
                    terms.fallback_withdrawal_w,
                )
                for terms, node in zip(
                    self.scenario.terms(), self.scenario.perimeters.node, strict=True
                )
            ),
        )

    # -- what can be computed -------------------------------------------------------------------

    def allocate(self, step: Callable[[int], None] | None = None) -> Envelopes:
        """Return the fair and secure envelopes; :attr:`Envelopes.not_secured` has failures.

        Parameters
        ----------
        step
            Called with the number of intervals done.

        Raises
        ------
        InputFaults
            When no interval has envelopes; names every element over its limit.
        """
        found = allocate_intervals(self.scenario, step or (lambda _: None))
        records = [record for record, _ in found]
        if not any(record.envelopes for record in records):
            raise InputFaults(self.scenario.source, unsecured_faults(records))
        return Envelopes(self.scenario, records)

    def read_envelopes(self, source: pd.DataFrame | Path | str) -> Envelopes:
        """Return envelopes of one's own, for example to verify them.

        Parameters
        ----------
        source
            A frame as :meth:`Envelopes.to_frame` returns, or a JSON, CSV or Parquet file as
            ``doe-exchange allocate`` writes.

        Raises
        ------
        InputFaults
            With every envelope and interval that does not fit the area.
        """
        if isinstance(source, pd.DataFrame):
            return Envelopes.from_frame(self.scenario, source)
        return Envelopes.from_file(self.scenario, Path(source))

    def with_fairness(self, rule: str, **entries: Any) -> Self:
        """Return the same area with another rule of fairness.

        Parameters
        ----------
        rule
            ``"max_min"``, ``"equal"``, ``"proportional_to_capacity"``, ``"proportional"``,
            ``"alpha"`` or ``"maximum_sum"``.
        entries
            Further entries of the section ``[fairness]``, for example ``alpha=2.0``.

        Raises
        ------
        InputFaults
            When an entry is wrong, or does not go with the rule.
        """
        faults: list[Fault] = []
        given = _plain({"rule": rule, **entries})
        section = parse_section(FairnessSection, "fairness", given, faults)
        terms = None
        if section is not None:
            terms = build_fairness(section, self.connection_points, faults)
        if terms is None:
            raise InputFaults(self.scenario.source, faults)
        return type(self)(replace(self.scenario, fairness=terms))

    def open_market(self, opened_at: datetime | str | None = None) -> Market:
        """Return the exchange of this area, in memory, with all intervals open for trading.

        Parameters
        ----------
        opened_at
            The opening time; as long before the first gate as the scenario says (an hour) where
            not given.

        Raises
        ------
        InputFaults
            When an interval cannot be opened, or intervals have forecasts or capacities of
            their own.
        """
        return Market(self.scenario, opened_at)


def _source_of(net: Any) -> tuple[str, pandapowerNet | None]:
    """Return the source of a network section, and the net where it is open already."""
    if isinstance(net, Path | str):
        return str(net), None
    if not isinstance(net, pandapowerNet):
        detail = f"it should be a pandapower net or a path, found {type(net).__name__}"
        raise InputFaults("the arguments", [Fault("net", detail)])
    return "the pandapower net", net


def _content(
    network: dict[str, Any],
    capacity_w: Any,
    interface: Band,
    voltage: Band,
    fallback_w: Any,
    fairness: str | Mapping[str, Any],
    sections: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the sections of a scenario file that say the same as the arguments."""
    faults: list[Fault] = []
    ends = ("voltage_min_pu", "voltage_max_pu")
    capacity_in, capacity_out = _both(capacity_w)
    fallback_in, fallback_out = _both(fallback_w)
    content: dict[str, Any] = {
        "network": network,
        "limits": _named(ends, "voltage", voltage, faults),
        "interface": _named(ends, "interface", interface, faults),
        "capacity": {
            "injection_w": capacity_in,
            "withdrawal_w": capacity_out,
            "fallback_injection_w": fallback_in,
            "fallback_withdrawal_w": fallback_out,
        },
        "fairness": {"rule": fairness} if isinstance(fairness, str) else dict(fairness),
    }
    if faults:
        raise InputFaults("the arguments", faults)
    for name, entries in sections.items():
        known = content.get(name, {})
        content[name] = {**known, **entries} if isinstance(entries, Mapping) else entries
    plain: dict[str, Any] = _plain(content)
    for section, name in _TIMES:
        given = plain.get(section)
        if isinstance(given, dict) and isinstance(given.get(name), str):
            given[name] = as_time(given[name], f"{section}.{name}")
    return plain


def _named(
    ends: tuple[str, str], argument: str, given: Band, faults: list[Fault]
) -> dict[str, Any]:
    """Return a pair under the names of its two ends."""
    if isinstance(given, Mapping):
        return dict(given)
    if isinstance(given, tuple | list) and len(given) == 2:
        return dict(zip(ends, given, strict=True))
    detail = f"it should be a pair (minimum, maximum) in per unit, found {given!r}"
    faults.append(Fault(argument, detail))
    return {}


def _both(given: Any) -> tuple[Any, Any]:
    """Return what holds for injection and for withdrawal."""
    if isinstance(given, tuple | list) and len(given) == 2:
        return _whole(given[0]), _whole(given[1])
    return _whole(given), _whole(given)


def _whole(given: Any) -> Any:
    """Return watts as whole numbers where they are: 15e3 is meant as 15000."""
    plain = _plain(given)
    if isinstance(plain, Mapping):
        return {name: _whole(value) for name, value in plain.items()}
    return int(plain) if isinstance(plain, float) and plain.is_integer() else plain


def _plain(given: Any) -> Any:
    """Return what NumPy and pandas hold in the types that a TOML file has."""
    if isinstance(given, pd.Series):
        return _plain(given.to_dict())
    if isinstance(given, Mapping):
        return {str(name): _plain(value) for name, value in given.items()}
    if isinstance(given, tuple | list):
        return [_plain(value) for value in given]
    if isinstance(given, pd.Timestamp):
        return given.to_pydatetime()
    return given.item() if isinstance(given, np.generic) else given
