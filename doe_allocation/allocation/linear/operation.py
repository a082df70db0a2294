"""A linear network in one interval: connection points at its buses, and what its buses inject."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from security_check.arrays import FloatArray, IndexArray
from security_check.errors import GridError
from security_check.model.envelope import EnvelopeSet
from security_check.model.linear_network import LinearNetwork
from security_check.operating_range.operating_point import OperatingPoint


@dataclass(frozen=True, slots=True)
class LinearOperation:
    """A linear network, its c connection points, and the set point of its n buses.

    Parameters
    ----------
    network
        The network, with the limits of the interval.
    connection_points
        Ids; c of them.
    bus_of_point
        Shape (c,), index of the bus of each connection point.  A bus may have several.
    setpoint_w
        Shape (n,), what does not trade injects at each bus, watts, injection positive.
    above_w, below_w
        Shape (l,) or (1,), by how much conditional activations may raise and lower each flow.

    Raises
    ------
    ValueError
        When a shape does not fit, an index is no bus, or a set point is not finite.
    """

    network: LinearNetwork
    connection_points: tuple[str, ...]
    bus_of_point: IndexArray
    setpoint_w: FloatArray
    above_w: FloatArray = field(default_factory=lambda: np.zeros(1))
    below_w: FloatArray = field(default_factory=lambda: np.zeros(1))

    def __post_init__(self) -> None:
        buses, points = len(self.network.buses), len(self.connection_points)
        if self.bus_of_point.shape != (points,):
            raise ValueError(f"{points} connection points, but {self.bus_of_point.shape} buses")
        if not ((self.bus_of_point >= 0) & (self.bus_of_point < buses)).all():
            raise ValueError(f"a connection point is at none of the {buses} buses")
        if self.setpoint_w.shape != (buses,) or not np.isfinite(self.setpoint_w).all():
            raise ValueError(f"the set point must be {buses} finite numbers")

    @property
    def flow_per_watt(self) -> FloatArray:
        """Flow of each branch per watt injected at each connection point, shape (l, c)."""
        by_point: FloatArray = self.network.ptdf[:, self.bus_of_point]
        return by_point

    def injection_w(self, moved_w: Mapping[str, int]) -> FloatArray:
        """Return changes of injection by bus as an array, shape (n,).

        Raises
        ------
        GridError
            When the network has no such bus.
        """
        buses = self.network.buses
        unknown = sorted(set(moved_w) - set(buses))
        if unknown:
            raise GridError(f"there is no bus {unknown[0]} any more, where flexibility was matched")
        return np.array([float(moved_w.get(bus, 0)) for bus in buses])

    def activated(
        self, firm_w: Mapping[str, int], conditional_w: Sequence[Mapping[str, int]]
    ) -> LinearOperation:
        """Return the operation with flexibility that was matched.

        Parameters
        ----------
        firm_w
            The change of injection by bus that is certain.
        conditional_w
            Those of which any, all or none may come.

        Raises
        ------
        GridError
            When the network has no such bus.
        """
        per_bus = self.network.ptdf
        added = np.array([per_bus @ self.injection_w(each) for each in conditional_w])
        added = added.reshape(-1, len(per_bus))
        return replace(
            self,
            setpoint_w=self.setpoint_w + self.injection_w(firm_w),
            above_w=np.maximum(0.0, added).sum(axis=0),
            below_w=np.maximum(0.0, -added).sum(axis=0),
        )

    def spread_w(self, held: EnvelopeSet) -> tuple[FloatArray, FloatArray]:
        """Return by how much powers inside envelopes may raise and lower each flow.

        Two of shape (l,).
        """
        ahead, against = np.maximum(0.0, self.flow_per_watt), np.maximum(0.0, -self.flow_per_watt)
        injection, withdrawal = held.injection_w, held.withdrawal_w
        return (
            ahead @ injection + against @ withdrawal,
            against @ injection + ahead @ withdrawal,
        )

    def flows_w(self, power_w: FloatArray) -> FloatArray:
        """Return the flow of each branch, shape (k, l), watts.

        Parameters
        ----------
        power_w
            Shape (k, c), the power of each connection point, injection positive.
        """
        injected = np.tile(self.setpoint_w, (len(power_w), 1))
        np.add.at(injected.T, self.bus_of_point, power_w.T)
        flows: FloatArray = injected @ self.network.ptdf.T
        return flows

    def exchanged_w(self, power_w: FloatArray) -> FloatArray:
        """Return the power out of the network at the slack bus, shape (k,): nothing is lost."""
        total: FloatArray = self.setpoint_w.sum() + power_w.sum(axis=1)
        return total


def without_voltages(power_w: FloatArray) -> OperatingPoint:
    """Return the operating point of a network without voltages and reactive power."""
    none = np.zeros(0)
    return OperatingPoint(power_w, np.zeros(len(power_w)), none, none)
