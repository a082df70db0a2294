"""What is expected of those who do not trade in each interval, and how far it may be off."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gateway.scenario.power_profile import PowerProfile
from security_check.arrays import FloatArray
from security_check.model.network import Network
from security_check.uncertainty.deviation_sets import BoxSet
from security_check.uncertainty.forecast import Forecast, Uncertainty


@dataclass(frozen=True, slots=True)
class ForecastSeries:
    """The forecasts of a scenario's intervals, T of them; d elements deviate.

    Parameters
    ----------
    network
        With its tolerances.
    powers
        What passive elements do over time; as the network says where not given.
    uncertainty
        How far they may be off at the time of the forecast, beside the bands of their profiles;
        ``None`` where all are certain.
    per_hour
        Shape (d,), by which the relative half-bands grow with each hour of horizon.
    at_most
        No relative half-band grows beyond it.
    horizon_h
        Shape (T,), from the time of the forecast to the start of each interval, in hours.
    """

    network: Network
    powers: PowerProfile | None
    uncertainty: Uncertainty | None
    per_hour: FloatArray
    at_most: float
    horizon_h: FloatArray

    @property
    def changes(self) -> bool:
        """Whether intervals have forecasts of their own."""
        return self.powers is not None or bool(self.per_hour.any())

    def forecast(self, interval: int) -> Forecast:
        """Return the forecast of an interval, named by its number."""
        if self.powers is None and self.uncertainty is None:
            return Forecast.as_given(self.network)
        power = None if self.powers is None else self.powers.power_pu(interval)
        return self._off(interval).forecast(self.network, power)

    def _off(self, interval: int) -> Uncertainty:
        """Return how far the elements may be off in an interval."""
        given = self.uncertainty
        if given is None:
            none = np.zeros(0)
            return Uncertainty(np.zeros(0, dtype=np.int64), none, none, none, BoxSet(0))
        grown = np.minimum(given.relative + self.horizon_h[interval] * self.per_hour, self.at_most)
        # Where nothing grows the cap is none: a band may be given as large as anybody likes.
        relative = np.where(self.per_hour > 0.0, grown, given.relative)
        band = given.absolute_pu
        if self.powers is not None:
            band = band + self.powers.half_band_pu(interval)[given.chosen]
        return replace(given, relative=relative, absolute_pu=band)
