"""What may happen in one interval: powers, held voltages, chosen reactive power, deviations.

The power flow takes port powers and held voltages.  :class:`OperatingConditions` makes these from
points of a box of envelopes.  The coordinates of a point, over c customers, h held voltages, f
customers who choose reactive power, and d deviations, are

=====================  ==============  =========================================================
``share``              (c,), [0, 1]    active power: 0 is the withdrawal limit, 1 the injection
                                       limit
``band_place``         (h,), [-1, 1]   held voltage: -1 is the lower end of the contracted band,
                                       1 the upper; those of each part of the interface lie in
                                       the convex hull of ``corners_of_part``, on their own
``reactive_share``     (f,), [-1, 1]   chosen reactive power, in parts of the largest at this
                                       active power; 1 is injection
``deviation``          (d,)            deviation from forecast or rated value, in parts of a
                                       half-band, within the uncertainty set; 1 injects more or is
                                       a larger impedance
=====================  ==============  =========================================================

The last three are the *free* coordinates, stored side by side in this order
(``WorstPoints.free``).  Each of the sets yields its point farthest in a given direction, so that
one step of an ascent moves all coordinates to where the gradient points.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from security_check.arrays import ComplexArray, FloatArray, IndexArray
from security_check.model.network import Network
from security_check.operating_range.operating_point import OperatingPoint
from security_check.operating_range.points import WorstPoints, halves
from security_check.uncertainty.deviations import Deviations

_MOST_CORNERS = 64  # combinations of corners of separate parts that searches try one by one


@dataclass(frozen=True)
class OperatingConditions:
    """One network's conditions in one interval; c connection points, J ports.

    Parameters
    ----------
    network
        The network.
    source_corners
        Shape (V, h'): the corners of the set of held voltages of one part of the interface, per
        unit.  Where separate parts are held on their own, h is a multiple of h'.
    passive_power_pu
        Shape (J,), forecast complex power of elements that do not trade, injection positive.
    deviations
        Deviations of these powers, and of impedances; d of them.
    """

    network: Network
    source_corners: FloatArray
    passive_power_pu: ComplexArray
    deviations: Deviations

    # -- the free coordinates -------------------------------------------------------------------

    @cached_property
    def choosers(self) -> IndexArray:
        """The customers who choose reactive power freely, shape (f,)."""
        freedom = self.network.reactive_freedom
        if freedom is None:
            return np.zeros(0, dtype=np.int64)
        return np.flatnonzero((freedom.cone > 0.0) | (freedom.half > 0.0))

    @cached_property
    def cone(self) -> FloatArray:
        """Reactive power that each of them may choose per unit of active power, shape (f,)."""
        freedom = self.network.reactive_freedom
        return np.zeros(0) if freedom is None else freedom.cone[self.choosers]

    @cached_property
    def _half_range(self) -> FloatArray:
        """Reactive power that each of them may choose at any active power, per unit, (f,)."""
        freedom = self.network.reactive_freedom
        return np.zeros(0) if freedom is None else freedom.half[self.choosers]

    @cached_property
    def has_cones(self) -> bool:
        """Whether some customer's reactive power grows with its active power, either way."""
        return bool((self.cone > 0.0).any())

    @property
    def held(self) -> int:
        """Number of held voltages, h."""
        return self.network.held

    @cached_property
    def band(self) -> tuple[float, float]:
        """The lowest and the highest voltage that any node may be held at, per unit."""
        return float(self.source_corners.min()), float(self.source_corners.max())

    @cached_property
    def _middle(self) -> float:
        return 0.5 * sum(self.band)

    @cached_property
    def half_band(self) -> float:
        """Change of a held voltage per unit of its ``band_place``, per unit."""
        return 0.5 * (self.band[1] - self.band[0])

    @cached_property
    def corners_of_part(self) -> FloatArray:
        """The corners of one part's held voltages, as places in the band, shape (V, h')."""
        if self.half_band == 0.0:
            return np.ones((1, self.source_corners.shape[1]))
        # Rounded, so that the same corner is the same place in every interval, whatever its band.
        return np.round((self.source_corners - self._middle) / self.half_band, 12)

    @cached_property
    def corners(self) -> FloatArray:
        """Corners of the set of all held voltages that searches try, shape (V', h).

        Every combination of the parts' corners where there are few, else those in which at most
        one part is at another corner than the rest: slopes lead to all others.
        """
        own = self.corners_of_part
        parts = self.held // own.shape[1]
        if len(own) ** parts <= _MOST_CORNERS:
            every = list(itertools.product(range(len(own)), repeat=parts))
        else:
            every = [(k,) * parts for k in range(len(own))]
            every += [
                (*alike[:part], k, *alike[part + 1 :])
                for alike in every[:]
                for part in range(parts)
                for k in range(len(own))
                if k != alike[part]
            ]
        return np.array([own[list(each)].ravel() for each in every])

    def corners_from(self, band_place: FloatArray) -> FloatArray:
        """Return the held voltages (h,) with each part at each of its corners, shape (n, h)."""
        own = self.corners_of_part
        parts = self.held // own.shape[1]
        moved = np.tile(band_place.reshape(parts, -1), (parts, len(own), 1, 1))
        for part in range(parts):
            moved[part, :, part] = own
        return moved.reshape(-1, self.held)

    def places_along(self, band_place: FloatArray, by_band: FloatArray) -> FloatArray:
        """Return held voltages, (r, h), moved to where their slopes (r, h) lead, part by part."""
        own = self.corners_of_part
        shape = len(by_band), self.held // own.shape[1], own.shape[1]
        here, slope = band_place.reshape(shape), by_band.reshape(shape)
        along = slope @ own.T
        better = along.max(axis=2) > (slope * here).sum(axis=2)
        moved = np.where(better[:, :, None], own[along.argmax(axis=2)], here)
        return moved.reshape(band_place.shape)

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
        """Number of free coordinates of a point, h + f + d."""
        return self.held + len(self.choosers) + self.deviations.set.count

    @property
    def choosing(self) -> slice:
        """The free coordinates that are shares of reactive power."""
        return slice(self.held, self.held + len(self.choosers))

    @property
    def deviating(self) -> slice:
        """The free coordinates that are deviations."""
        return slice(self.held + len(self.choosers), self.free)

    def parts(self, free: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return ``band_place``, ``reactive_share`` and ``deviation`` of (r, k) coordinates.

        Shapes (r, h), (r, f) and (r, d); of slopes, those along these coordinates.
        """
        return free[:, : self.held], free[:, self.choosing], free[:, self.deviating]

    # -- from points to power flows -------------------------------------------------------------

    def ports(self, points: WorstPoints, u: FloatArray) -> tuple[ComplexArray, FloatArray]:
        """Return port powers (J, r) and held voltages (h, r) of r points of the box u."""
        power = points.power(u)
        band_place, _, deviation = self.parts(points.free)
        powers = self.port_powers(power.T)
        if len(self.choosers):
            reactive = self.chosen_reactive(points, power)
            powers += 1j * (self.network.port_shares[:, self.choosers] @ reactive.T)
        if deviation.shape[1]:
            powers += self.deviations.power_pu @ deviation.T
        return powers, self._source(band_place.T)

    def _source(self, band_place: FloatArray) -> FloatArray:
        """Return held voltages, per unit, from places in the band."""
        return self._middle + self.half_band * band_place

    def port_powers(self, power_pu: FloatArray) -> ComplexArray:
        """Return (J, B) port powers for (c, B) active powers; free coordinates add nothing."""
        powers = self.port_change(power_pu)
        powers += self._standing[:, None]
        return powers

    def port_change(self, power_pu: FloatArray) -> ComplexArray:
        """Return the (J, B) change of port powers for (c, B) changes of active powers."""
        change: ComplexArray = self.network.point_ports @ power_pu
        return change

    @cached_property
    def _standing(self) -> ComplexArray:
        """The port powers that do not depend on the customers' active power, shape (J,)."""
        freedom = self.network.reactive_freedom
        if freedom is None:
            return self.passive_power_pu
        standing: ComplexArray = self.network.port_shares @ freedom.middle * 1j
        return standing + self.passive_power_pu

    @cached_property
    def deviations_ports(self) -> sp.csr_array:
        """Slopes by deviations from gradients by port power, shape (d, J), complex."""
        return sp.csr_array(self.deviations.power_pu.conj().T)

    def chosen_reactive(self, points: WorstPoints, power: FloatArray) -> FloatArray:
        """Return the reactive power chosen at active powers (r, c), per unit, shape (r, f)."""
        reactive: FloatArray = self.parts(points.free)[1] * self.reactive_reach(power)
        return reactive

    def reactive_reach(self, power: FloatArray) -> FloatArray:
        """Return the largest reactive power, either way, at active powers (r, c), shape (r, f)."""
        reach: FloatArray = self._half_range + self.cone * np.abs(power[:, self.choosers])
        return reach

    def largest_ports(self, u: FloatArray) -> FloatArray:
        """Return an upper bound of each port's apparent power over the whole box, shape (J,)."""
        power = np.maximum(*halves(u))
        largest: FloatArray = self.network.ports_size @ power + np.abs(self._standing)
        if len(self.choosers):
            reactive = self._half_range + self.cone * power[self.choosers]
            largest += self.network.port_shares[:, self.choosers] @ reactive
        if self.deviations.set.count:
            largest += abs(self.deviations.power_pu) @ self.deviations.set.largest
        inverters = self.network.inverters
        if inverters is not None:
            largest[inverters.ports] += inverters.largest_reactive_pu
        return largest

    def largest_change(self, power_pu: FloatArray) -> FloatArray:
        """Return bounds of the change of port powers, (J,), for changes of active power, (c,)."""
        change: FloatArray = self.network.ports_size @ power_pu
        if self.has_cones:
            reactive = self.cone * power_pu[self.choosers]
            change = change + self.network.port_shares[:, self.choosers] @ reactive
        return change

    def operating_point(self, point: WorstPoints, u: FloatArray) -> OperatingPoint:
        """Return a single point of the box u in watts, var and volts per unit."""
        network = self.network
        power = point.power(u)
        reactive = power * network.reactive_ratio
        if network.reactive_freedom is not None:
            reactive += network.reactive_freedom.middle
            reactive[:, self.choosers] += self.chosen_reactive(point, power)
        band_place, _, deviation = self.parts(point.free)
        base = network.base_power_w
        return OperatingPoint(
            power[0] * base,
            reactive[0] * base,
            self._source(band_place[0]),
            deviation[0],
            self.deviations.elements,
        )
