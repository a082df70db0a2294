"""What one interval lets happen: who injects what, under which voltages, with which deviations.

The power flow knows ports and held voltages only.  Here the points of a box of envelopes become
its inputs, and gradients by its inputs become slopes by what moves:

- each customer's active power, between its two limits;
- the held voltages ``m``, anywhere in what the contract allows, each as its place in the
  contracted band: -1 is its lower end, 1 its upper;
- reactive power ``rho`` in [-1, 1], for customers who choose it freely;
- deviations ``xi`` of those who do not trade, within their uncertainty set.

Each of these sets yields its point farthest in a given direction, so that one step of an ascent
takes all of them to where the gradient points.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from security_check.arrays import BoolArray, ComplexArray, FloatArray, IndexArray
from security_check.model.network import Network
from security_check.operating_range.operating_point import OperatingPoint
from security_check.operating_range.points import WorstPoints, halves
from security_check.uncertainty.deviations import Deviations

_FLAT = 1e-12  # a slope below this part of the largest is rounding


@dataclass(frozen=True, slots=True)
class Slopes:
    """How each of r quantities changes with what moves.

    Parameters
    ----------
    by_power
        Shape (r, c), per unit of active power, the fixed ratio's reactive power included.
    by_free
        Shape (r, k), in the order of :attr:`WorstPoints.free`; for reactive power, per unit of it.
    """

    by_power: FloatArray
    by_free: FloatArray

    def take(self, rows: IndexArray | BoolArray) -> Slopes:
        """Return the slopes of the rows named."""
        return Slopes(self.by_power[rows], self.by_free[rows])


def flat(slopes: FloatArray) -> BoolArray:
    """Return which slopes of each row, shape (r, n), are none but for rounding."""
    size = np.abs(slopes)
    small: BoolArray = size <= _FLAT * size.max(axis=1, keepdims=True, initial=0.0)
    return small


@dataclass(frozen=True)
class OperatingConditions:
    """One network's conditions in one interval; c connection points, J ports.

    Parameters
    ----------
    network
        The network.
    source_corners
        Shape (V, h): the corners of what the held voltages may be, per unit.
    passive_power_pu
        Shape (J,), complex power of what does not trade, as forecast.
    deviations
        How far it may be off.
    """

    network: Network
    source_corners: FloatArray
    passive_power_pu: ComplexArray
    deviations: Deviations

    # -- the free coordinates -------------------------------------------------------------------

    @cached_property
    def choosers(self) -> IndexArray:
        """The customers who choose reactive power freely, f of them."""
        freedom = self.network.reactive_freedom
        if freedom is None:
            return np.zeros(0, dtype=np.int64)
        return np.flatnonzero((freedom.cone > 0.0) | (freedom.half > 0.0))

    @cached_property
    def cone(self) -> FloatArray:
        """How much reactive power each of them may choose per unit of active power, shape (f,)."""
        freedom = self.network.reactive_freedom
        return np.zeros(0) if freedom is None else freedom.cone[self.choosers]

    @cached_property
    def _half(self) -> FloatArray:
        freedom = self.network.reactive_freedom
        return np.zeros(0) if freedom is None else freedom.half[self.choosers]

    @cached_property
    def has_cones(self) -> bool:
        """Whether some customer's reactive power grows with its active power, either way."""
        return bool((self.cone > 0.0).any())

    @property
    def held(self) -> int:
        """How many voltage magnitudes are held."""
        return int(self.source_corners.shape[1])

    @cached_property
    def _middle(self) -> float:
        return 0.5 * sum(self.band)

    @cached_property
    def _half_band(self) -> float:
        return 0.5 * (self.band[1] - self.band[0])

    @cached_property
    def corners(self) -> FloatArray:
        """The corners of what the held voltages may be, as places in the band, shape (V, h)."""
        if self._half_band == 0.0:
            return np.ones((1, self.held))
        # Rounded, so that the same corner is the same place in every interval, whatever its band.
        return np.round((self.source_corners - self._middle) / self._half_band, 12)

    @cached_property
    def ends(self) -> tuple[int, int]:
        """The corners of the lowest and of the highest held voltages."""
        whole = self.corners.sum(axis=1)
        return int(whole.argmin()), int(whole.argmax())

    def alike(self, other: OperatingConditions) -> bool:
        """Return whether points of the other conditions mean the same here, and may be reused."""
        mine, others = self.corners, other.corners
        return (
            self.network is other.network
            and self.deviations.set == other.deviations.set
            and mine.shape == others.shape
            and bool(np.abs(mine - others).max() <= 1e-9)
        )

    @property
    def free(self) -> int:
        """How many free coordinates a point has."""
        return self.held + len(self.choosers) + self.deviations.set.count

    @property
    def deviating(self) -> slice:
        """Which of the free coordinates are deviations."""
        return slice(self.held + len(self.choosers), self.free)

    def parts(self, free: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the columns of held voltages, reactive power and deviations."""
        first, second = self.held, self.held + len(self.choosers)
        return free[:, :first], free[:, first:second], free[:, second:]

    @cached_property
    def band(self) -> tuple[float, float]:
        """The lowest and the highest voltage that any node may be held at, per unit."""
        return float(self.source_corners.min()), float(self.source_corners.max())

    # -- from points to power flows -------------------------------------------------------------

    def ports(self, points: WorstPoints, u: FloatArray) -> tuple[ComplexArray, FloatArray]:
        """Return port powers (J, r) and held voltages (h, r) of r points of the box u."""
        power = points.power(u)
        place, rho, xi = self.parts(points.free)
        powers = self.port_powers(power.T)
        if len(self.choosers):
            reactive = rho * self.reach(power)
            powers += 1j * (self.network.port_shares[:, self.choosers] @ reactive.T)
        if xi.shape[1]:
            powers += self.deviations.power_pu @ xi.T
        return powers, self._source(place.T)

    def _source(self, place: FloatArray) -> FloatArray:
        """Return held voltages, per unit, from places in the band."""
        return self._middle + self._half_band * place

    def port_powers(self, power_pu: FloatArray) -> ComplexArray:
        """Return the (J, B) port powers for (c, B) active powers, without anything free."""
        powers = self.port_change(power_pu)
        powers += self._standing[:, None]
        return powers

    def port_change(self, power_pu: FloatArray) -> ComplexArray:
        """Return the (J, B) change of port powers for (c, B) changes of active powers."""
        change: ComplexArray = self.network.point_ports @ power_pu
        return change

    @cached_property
    def _standing(self) -> ComplexArray:
        """The port powers that are there whatever customers do, shape (J,)."""
        freedom = self.network.reactive_freedom
        if freedom is None:
            return self.passive_power_pu
        standing: ComplexArray = self.network.port_shares @ freedom.middle * 1j
        return standing + self.passive_power_pu

    def largest_ports(self, u: FloatArray) -> FloatArray:
        """Return an upper bound of each port's apparent power over the whole box, shape (J,)."""
        power = np.maximum(*halves(u))
        largest: FloatArray = self.network.ports_size @ power + np.abs(self._standing)
        if len(self.choosers):
            reactive = self._half + self.cone * power[self.choosers]
            largest += self.network.port_shares[:, self.choosers] @ reactive
        if self.deviations.set.count:
            largest += abs(self.deviations.power_pu) @ self.deviations.set.largest
        inverters = self.network.inverters
        if inverters is not None:
            largest[inverters.ports] += inverters.largest_reactive_pu
        return largest

    def largest_change(self, power_pu: FloatArray) -> FloatArray:
        """Return how much port powers change at most when active powers change by (c,), (J,)."""
        change: FloatArray = self.network.ports_size @ power_pu
        if self.has_cones:
            reactive = self.cone * power_pu[self.choosers]
            change = change + self.network.port_shares[:, self.choosers] @ reactive
        return change

    def operating_point(self, point: WorstPoints, u: FloatArray) -> OperatingPoint:
        """Return what a single point of the box u means for everyone."""
        network = self.network
        power = point.power(u)
        reactive = power * network.reactive_ratio
        if network.reactive_freedom is not None:
            reactive += network.reactive_freedom.middle
            reactive[:, self.choosers] += self._reactive(point, power)
        place, _, xi = self.parts(point.free)
        base = network.base_power_w
        return OperatingPoint(
            power[0] * base,
            reactive[0] * base,
            self._source(place[0]),
            xi[0],
            self.deviations.elements,
        )

    # -- from gradients to slopes ---------------------------------------------------------------

    def slopes(self, by_port: ComplexArray, by_source: FloatArray) -> Slopes:
        """Return slopes from gradients by port power (J, r) and by held voltage (h, r)."""
        by_power = np.asarray(self.network.ports_point @ by_port).real.T
        parts = [self._half_band * by_source.T]
        if len(self.choosers):
            parts.append((self.network.port_shares[:, self.choosers].T @ by_port.imag).T)
        if self.deviations.set.count:
            parts.append(np.asarray(self._deviations_ports @ by_port).real.T)
        return Slopes(by_power, np.concatenate(parts, axis=1))

    @cached_property
    def _deviations_ports(self) -> sp.csr_array:
        return sp.csr_array(self.deviations.power_pu.conj().T)

    # -- where slopes lead ----------------------------------------------------------------------

    def vertex_along_gradient(
        self, points: WorstPoints, slopes: Slopes, u: FloatArray
    ) -> WorstPoints:
        """Return the points that the slopes lead to; a flat direction stays as it is."""
        rising = self.rising(slopes, u)
        share = np.where(flat(rising), points.share, rising > 0)
        return WorstPoints(share, self._free_turned(points.free, slopes.by_free))

    def begin(self, share: FloatArray, slopes: Slopes) -> WorstPoints:
        """Return points of these shares whose free coordinates go where the slopes lead."""
        free = np.zeros((len(share), self.free))
        free[:, : self.held] = self.corners[self.ends[0]]
        return WorstPoints(share, self._free_turned(free, slopes.by_free))

    def rising(self, slopes: Slopes, u: FloatArray) -> FloatArray:
        """Return, per unit of range, what the injection side has over the withdrawal side, (r, c).

        The slope itself but for power-factor cones: with these, both sides allow reactive power
        that suits the row.
        """
        if not self.has_cones:
            return slopes.by_power
        injection, withdrawal = halves(u)
        rising = slopes.by_power.copy()
        at = self.choosers
        reach = self.cone * np.abs(self.parts(slopes.by_free)[1])
        up = injection[at] * (slopes.by_power[:, at] + reach)
        down = withdrawal[at] * (reach - slopes.by_power[:, at])
        width = injection[at] + withdrawal[at]
        rising[:, at] = (up - down) / np.where(width > 0.0, width, 1.0)
        return rising

    def _free_turned(self, free: FloatArray, by_free: FloatArray) -> FloatArray:
        place, rho, xi = self.parts(free)
        by_place, by_reactive, by_xi = self.parts(by_free)
        along = by_place @ self.corners.T
        better = along.max(axis=1) > (by_place * place).sum(axis=1)
        parts = [np.where(better[:, None], self.corners[along.argmax(axis=1)], place)]
        if rho.shape[1]:
            parts.append(np.where(by_reactive == 0.0, rho, np.sign(by_reactive)))
        if xi.shape[1]:
            parts.append(self.deviations.set.support(by_xi))
        return np.concatenate(parts, axis=1)

    def gain(
        self, points: WorstPoints, slopes: Slopes, to: WorstPoints, u: FloatArray
    ) -> FloatArray:
        """Return what is gained on the way from points to others, to first order, shape (r,)."""
        before, after = points.power(u), to.power(u)
        gain: FloatArray = (slopes.by_power * (after - before)).sum(axis=1)
        way = to.free - points.free
        if len(self.choosers):
            columns = slice(self.held, self.held + len(self.choosers))
            way[:, columns] = self._reactive(to, after) - self._reactive(points, before)
        gain += (slopes.by_free * way).sum(axis=1)
        return gain

    def _reactive(self, points: WorstPoints, power: FloatArray) -> FloatArray:
        """Return the reactive power that is chosen, shape (r, f)."""
        reactive: FloatArray = self.parts(points.free)[1] * self.reach(power)
        return reactive

    def reach(self, power: FloatArray) -> FloatArray:
        """Return how much reactive power can be chosen, either way, shape (r, f)."""
        reach: FloatArray = self._half + self.cone * np.abs(power[:, self.choosers])
        return reach

    def coefficients(self, points: WorstPoints, slopes: Slopes) -> FloatArray:
        """Return packing coefficients by u, shape (r, 2 c), >= 0.

        A limit counts on the side its point takes, where the quantity rises with it; customers
        strictly inside their ranges count on both sides.
        """
        up, down = slopes.by_power, -slopes.by_power
        if self.has_cones:
            _, rho, _ = self.parts(points.free)
            reach = np.zeros_like(up)
            reach[:, self.choosers] = self.cone * rho * self.parts(slopes.by_free)[1]
            up, down = up + reach, down + reach
        share = points.share
        return np.hstack(
            [
                np.where(share > 0.0, np.maximum(up, 0.0), 0.0),
                np.where(share < 1.0, np.maximum(down, 0.0), 0.0),
            ]
        )
