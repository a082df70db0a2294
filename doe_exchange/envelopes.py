"""Envelopes of an area: allocated, read from a frame or file, or in force in a market."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Self

import pandas as pd
from pydantic import ValidationError

from doe_exchange.arguments import as_time, one_interval
from doe_exchange.pictures import Picture
from doe_exchange.tables import TIME, Table, Tabular, frame_of
from doe_exchange.verdict import Verdict, binding_table
from exchange.vocabulary.formatting import format_time
from gateway.formats.envelope_file import (
    EnvelopeFile,
    EnvelopeRecord,
    IntervalRecord,
    IntervalStatus,
)
from gateway.formats.envelope_rows import EnvelopeTable, read_envelopes, table_of
from gateway.formats.envelope_writers import result_writer
from gateway.formats.faults import InputFaults, sentences
from gateway.runs.verification import match_envelopes, verify_intervals
from gateway.scenario.scenario import Scenario
from security_check.errors import Fault
from security_check.model.envelope import Envelope

_SOURCE = "the envelopes"  # their name in faults

_COLUMNS = {
    "start": TIME,
    "end": TIME,
    "connection_point": "string",
    "injection_limit_w": "int64",
    "withdrawal_limit_w": "int64",
    "injection_bottleneck": "string",
    "withdrawal_bottleneck": "string",
}
_LIMITS = tuple(_COLUMNS)[2:]

PictureKind = Literal["envelopes", "binding", "distribution", "network"]


class Envelopes(Tabular):
    """The envelopes of an area: how much each connection point may inject and withdraw.

    Intervals without envelopes have no rows; :attr:`not_secured` names them.

    Made by :meth:`doe_exchange.Area.allocate`, :meth:`doe_exchange.Area.read_envelopes` and
    :attr:`doe_exchange.Market.envelopes`.

    Parameters
    ----------
    scenario
        The area's scenario.
    records
        Its intervals, as an envelopes file has them.

    Examples
    --------
    >>> import doe_exchange as dx
    >>> envelopes = dx.Area.from_scenario("bundled:reference").allocate()
    >>> envelopes.envelope("load:0").withdrawal_limit_w
    6621
    >>> envelopes.to_frame()[["injection_limit_w", "withdrawal_limit_w"]].min().tolist()
    [6907, 6621]
    """

    def __init__(self, scenario: Scenario, records: Iterable[IntervalRecord]) -> None:
        self._scenario = scenario
        self.records = tuple(records)

    @classmethod
    def from_frame(cls, scenario: Scenario, frame: pd.DataFrame) -> Self:
        """Return the envelopes of a frame such as :meth:`to_frame` returns.

        Raises
        ------
        InputFaults
            With every column that is missing and every value that is not a limit.
        """
        faults = [
            Fault(name, "there is no such column")
            for name in _COLUMNS
            if name not in frame.columns and not name.endswith("_bottleneck")
        ]
        if faults:
            raise InputFaults(_SOURCE, faults)
        records = [
            IntervalRecord(
                start=as_time(rows["start"].iloc[0], "start"),
                end=as_time(rows["end"].iloc[0], "end"),
                envelopes=list(_rows_of(rows, faults)),
            )
            for _, rows in frame.groupby(["start", "end"], sort=False)
        ]
        if faults:
            raise InputFaults(_SOURCE, faults)
        return cls.matched(scenario, EnvelopeFile(intervals=records), _SOURCE)

    @classmethod
    def from_file(cls, scenario: Scenario, path: Path) -> Self:
        """Return the envelopes of a JSON, CSV or Parquet file.

        Raises
        ------
        InputFaults
            When the file cannot be read, or does not fit the scenario.
        """
        return cls.matched(scenario, read_envelopes(path), str(path))

    @classmethod
    def matched(cls, scenario: Scenario, content: EnvelopeFile, source: str) -> Self:
        """Return envelopes after a look at whether they are those of the scenario.

        Raises
        ------
        InputFaults
            With every envelope and interval that does not fit the scenario.
        """
        match_envelopes(scenario, content, source)
        return cls(scenario, content.intervals)

    @property
    def title(self) -> str:
        """Area, intervals, connection points, and whether all of it is proved secure."""
        first, count = self.records[0], len(self.records)
        several = f"{count} intervals from" if count > 1 else "interval"
        proofs = [record.proof for record in self.records]
        proved = ", proved secure" if all(proof and proof.secure for proof in proofs) else ""
        points = len(self._scenario.network.connection_points)
        unsecured = sum(record.status is not IntervalStatus.SECURE for record in self.records)
        failed = f", {unsecured} NOT SECURED" if unsecured else ""
        return (
            f"Envelopes of {self._scenario.area}, {several} {format_time(first.start)}, "
            f"{points} connection points{proved}{failed}"
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row for each interval and connection point; limits in watts, >= 0.

        A bottleneck is the element that keeps a limit from being larger.
        """
        return frame_of(
            _COLUMNS,
            (
                (record.start, record.end, *(getattr(each, name) for name in _LIMITS))
                for record in self.records
                for each in record.envelopes
            ),
        )

    def _shown(self) -> pd.DataFrame:
        frame = self.to_frame()
        return frame.drop(columns=["end"] if len(self.records) > 1 else ["start", "end"])

    def envelope(self, connection_point: str, interval: datetime | str | None = None) -> Envelope:
        """Return the envelope of one connection point.

        Parameters
        ----------
        connection_point
            Its id, for example ``"load:3"``.
        interval
            Start of the interval; needed where there are several.

        Raises
        ------
        InputFaults
            When there is no such connection point or interval.
        """
        starts = [record.start for record in self.records]
        record = self.records[starts.index(one_interval(interval, starts))]
        for each in record.envelopes:
            if each.connection_point == connection_point:
                return Envelope(**each.model_dump())
        detail = "it is not a connection point of the network"
        raise InputFaults(_SOURCE, [Fault(connection_point, detail)])

    @property
    def not_secured(self) -> Table:
        """The intervals that could not be secured, and why.

        With ``status`` ``fallback`` an interval has its fallback envelopes, which are secure; with
        ``none`` it has no envelopes.
        """
        return Table(
            "Intervals that could not be secured",
            {"start": TIME, "status": "string", "reason": "string"},
            (
                (record.start, str(record.status), record.reason)
                for record in self.records
                if record.status is not IntervalStatus.SECURE
            ),
        )

    @property
    def binding(self) -> Table:
        """The elements at their limits: what each reaches, of what limit, and what is proved."""
        return binding_table("Elements at their limits", self.records)

    def verify(self, seed: int = 0, step: Callable[[int], None] | None = None) -> Verdict:
        """Let the adversary look for a point inside the envelopes that breaks a limit.

        Parameters
        ----------
        seed
            Of its random points.
        step
            Called with the number of intervals done.

        Returns
        -------
        The verdict; true where no limit is broken.

        Examples
        --------
        >>> import doe_exchange as dx
        >>> area = dx.Area.from_scenario("bundled:reference")
        >>> frame = area.allocate().to_frame()
        >>> frame["injection_limit_w"] *= 2
        >>> bool(area.read_envelopes(frame).verify())
        False
        """
        content = EnvelopeFile(intervals=list(self.records))
        matched = match_envelopes(self._scenario, content, _SOURCE)
        return Verdict(verify_intervals(self._scenario, matched, seed, step or (lambda _: None)))

    def write(self, path: Path | str) -> None:
        """Write a file, as ``doe-exchange allocate -o`` does (``.csv``, ``.parquet``, else JSON).

        Raises
        ------
        InputFaults
            When the place cannot be written to, or a package is missing.
        """
        content = EnvelopeFile(intervals=list(self.records))
        matched = match_envelopes(self._scenario, content, _SOURCE)
        with result_writer(Path(path)) as write:
            for record, number, _ in matched:
                write(record, self._scenario.capacity_in(number))

    def plot(
        self,
        path: Path | str | None = None,
        *,
        kind: PictureKind | None = None,
        points: Sequence[str] = (),
        at: datetime | str | None = None,
    ) -> Picture:
        """Draw the envelopes; needs matplotlib.

        Parameters
        ----------
        path
            Also write the picture to this file.
        kind
            ``"network"``: how full each element becomes at its worst point (the default for one
            interval).  ``"envelopes"``: limits over the day (the default for several).
            ``"binding"``: which element limits how many.  ``"distribution"``: of all limits.
        points
            Connection points with a line of their own in ``"envelopes"``.
        at
            Interval of ``"network"``; that with the smallest limits where not given.

        Raises
        ------
        GatewayError
            When matplotlib is not installed, or does not know the ending of ``path``.
        """
        table = table_of(EnvelopeFile(intervals=list(self.records)), _SOURCE)
        wanted = kind or ("network" if len(self.records) == 1 else "envelopes")
        picture = Picture(self._figure(table, wanted, points, at))
        if path is not None:
            picture.save(path)
        return picture

    def _figure(
        self,
        table: EnvelopeTable,
        kind: PictureKind,
        points: Sequence[str],
        at: datetime | str | None,
    ) -> Any:
        from gateway.plots import envelopes_over_time, network_loading  # with matplotlib

        if kind == "envelopes":
            return envelopes_over_time.draw_envelopes(table, points, _SOURCE)
        if kind == "binding":
            return envelopes_over_time.draw_binding(table, _SOURCE)
        if kind == "distribution":
            return envelopes_over_time.draw_distribution(table, _SOURCE)
        if kind == "network":
            from gateway.runs.operator_outputs import match_table

            matched = match_table(self._scenario, table, _SOURCE).table
            number = table.tightest()
            if at is not None:
                number = table.starts.index(one_interval(at, table.starts))
            if number is None or not table.published[number]:
                raise InputFaults(_SOURCE, [Fault("at", "the interval has no envelopes")])
            return network_loading.draw_network(self._scenario, matched, number)
        known = "envelopes, binding, distribution, network"
        raise InputFaults("plot", [Fault("kind", f"it should be one of {known}, found {kind!r}")])


def _rows_of(frame: pd.DataFrame, faults: list[Fault]) -> Iterator[EnvelopeRecord]:
    """Yield the envelopes of one interval of a frame, and add what is wrong to the faults."""
    columns = [name for name in _LIMITS if name in frame.columns]
    for row in frame[columns].to_dict("records"):
        # A product with a factor is a float, also where it is a whole number of watts.
        given = {
            str(name): int(value) if isinstance(value, float) and value.is_integer() else value
            for name, value in row.items()
            if not pd.isna(value)
        }
        try:
            yield EnvelopeRecord.model_validate(given)
        except ValidationError as error:
            faults.extend(sentences(error, str(row["connection_point"])))
