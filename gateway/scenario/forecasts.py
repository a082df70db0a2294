"""Forecasts of the passive elements in each interval, with their uncertainty."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gateway.scenario.profiles.power_profile import PowerProfile
from security_check.arrays import FloatArray
from security_check.model.network import Network
from security_check.uncertainty.deviation_sets import BoxSet
from security_check.uncertainty.forecast import Forecast, Uncertainty


@dataclass(frozen=True, slots=True)
class ForecastSeries:
    """The forecasts of a scenario's T intervals, in which d elements deviate.

    Parameters
    ----------
    network
        The network with its impedance tolerances.
    powers
        Powers of the passive elements over time; ``None`` for the powers of the network.
    uncertainty
        Bands at the time of the forecast, without the bands of profiles; ``None`` if no element
        deviates.
    per_hour
        Shape (d,), growth of the relative half-bands per hour of horizon.
    at_most
        Cap on the relative half-bands that grow.
    horizon_h
        Shape (T,), hours from the time of the forecast to the start of each interval.
    """

    network: Network
    powers: PowerProfile | None
    uncertainty: Uncertainty | None
    per_hour: FloatArray
    at_most: float
    horizon_h: FloatArray

    @property
    def changes(self) -> bool:
        """Whether forecasts differ between intervals."""
        return self.powers is not None or bool(self.per_hour.any())

    def forecast(self, interval: int) -> Forecast:
        """Return the forecast of the interval with this index."""
        if self.powers is None and self.uncertainty is None:
            return Forecast.as_given(self.network)
        power = None if self.powers is None else self.powers.power_pu(interval)
        return self._uncertainty_in(interval).forecast(self.network, power)

    def _uncertainty_in(self, interval: int) -> Uncertainty:
        """Return the uncertainty of the elements in an interval."""
        given = self.uncertainty
        if given is None:
            none = np.zeros(0)
            return Uncertainty(np.zeros(0, dtype=np.int64), none, none, none, BoxSet(0))
        grown = np.minimum(given.relative + self.horizon_h[interval] * self.per_hour, self.at_most)
        # The cap holds for bands that grow; a constant band may be larger.
        relative = np.where(self.per_hour > 0.0, grown, given.relative)
        band = given.absolute_pu
        if self.powers is not None:
            band = band + self.powers.half_band_pu(interval)[given.chosen]
        return replace(given, relative=relative, absolute_pu=band)
