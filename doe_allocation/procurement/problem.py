"""What is procured and for what: offers, the network's limits, and the deviations to withstand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from doe_allocation.procurement.choices import FlexDirection
from security_check.arrays import FloatArray, IndexArray
from security_check.errors import GridError
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.model.network import Network
from security_check.monitoring.monitors import Monitors
from security_check.monitoring.row_kinds import RowKind
from security_check.monitoring.row_limits import RowLimits
from security_check.operating_range.conditions import OperatingConditions
from security_check.power_flow.implicit_zbus import PowerFlow
from security_check.uncertainty.forecast import Forecast
from security_check.worst_case.robust_rows import RobustRows
from security_check.worst_case.row_problem import RowProblem

CURRENT_KINDS = (RowKind.CURRENT_EXPORT, RowKind.CURRENT_IMPORT)


@dataclass(frozen=True, slots=True)
class FlexOffer:
    """Flexibility that may be activated in any part, at the power factor of its resource.

    Parameters
    ----------
    resource
        Index of its connection point.
    direction
        Which way the power changes.
    power_pu
        What can be activated at most, >= 0, per unit.
    price
        EUR for a per unit of power for an hour.
    """

    resource: int
    direction: FlexDirection
    power_pu: float
    price: float


@dataclass(frozen=True)
class ProcurementProblem:
    """One network in one interval, with the flexibility offered; c connection points.

    Parameters
    ----------
    network
        Its connection points are the resources; what is expected of them is passive power.
    offers
        The offers; o of them.
    forecast
        The expected powers, and the deviations that the limits must withstand.
    voltage_limits
        Of all buses but the source's.
    source_pu
        The voltage held at the source.
    unlimited
        Shape (t,), indices of terminals whose current has no limit.
    """

    network: Network
    offers: Sequence[FlexOffer]
    forecast: Forecast
    voltage_limits: VoltageLimits
    source_pu: float
    unlimited: IndexArray

    @cached_property
    def monitors(self) -> Monitors:
        """The voltages and currents of the network."""
        return Monitors(PowerFlow(self.network))

    @cached_property
    def all_limits(self) -> RowLimits:
        """The limits of all rows, with a rating for every terminal."""
        contract = InterfaceLimits(self.source_pu, self.source_pu)
        return self.monitors.row_limits(self.voltage_limits, contract)

    @cached_property
    def limits(self) -> RowLimits:
        """The limits of all rows, infinite where there is none."""
        limit, monitors = self.all_limits.limit.copy(), self.monitors
        first = len(self.network.voltages.elements)
        limit[
            np.isin(monitors.kind, CURRENT_KINDS) & np.isin(monitors.phasor, first + self.unlimited)
        ] = np.inf
        return RowLimits(limit, self.all_limits.scale, self.all_limits.voltage_min_pu)

    @cached_property
    def conditions(self) -> OperatingConditions:
        """The voltage held and the forecast, as the security check takes them."""
        return OperatingConditions(
            self.network,
            np.array([[self.source_pu]]),
            self.forecast.power_pu,
            self.forecast.deviations,
        )

    def robust_rows(self, *, all_terminals: bool = False) -> RobustRows:
        """Return the rows of the security check: of what is limited, or of everything."""
        limits = self.all_limits if all_terminals else self.limits
        return RobustRows(RowProblem(self.monitors, limits, self.conditions))

    @cached_property
    def change(self) -> FloatArray:
        """Injected powers by activations, shape (c, o): 1 or -1 at the resource of each offer."""
        change = np.zeros((len(self.network.connection_points), len(self.offers)))
        for k, offer in enumerate(self.offers):
            change[offer.resource, k] = offer.direction.sign
        return change

    @cached_property
    def sizes(self) -> FloatArray:
        """What each offer can activate at most, shape (o,), per unit."""
        return np.array([offer.power_pu for offer in self.offers], dtype=float)

    @cached_property
    def prices(self) -> FloatArray:
        """The price of each offer, shape (o,), EUR per unit of power for an hour."""
        return np.array([offer.price for offer in self.offers], dtype=float)

    def box(self, activated: FloatArray) -> FloatArray:
        """Return the box of envelopes, shape (2 c,), that holds the activations, (o,), alone.

        Both limits of a connection point are at what it activates, so that the deviations are all
        that is free in it.
        """
        injected = self.change @ activated
        return np.concatenate([injected, -injected])


class UnrelievableError(Exception):
    """No activation of the offers keeps all limits; internal to the room.

    :func:`doe_allocation.procurement.shortfall.shortfall` says which and why.
    """


class NotExactError(GridError):
    """Rows that are added one by one do not come to an end."""
