"""Money of exact quantities, in tick-watts.

A price in ticks per kWh times an energy in watt-hours is in tick-watts, as a price per kW times
watts is.  Energies are exact fractions of watt-seconds.  An amount is rounded once, for a whole
activation, to the nearest tick-watt, halves up.
"""

from __future__ import annotations

from fractions import Fraction

SECONDS_PER_HOUR = 3600


def nearest(value: Fraction) -> int:
    """Return the nearest whole number, halves up; a larger value never leads to a smaller one."""
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)


def energy_amount(energy_ws: Fraction, price_ticks: int) -> int:
    """Return the amount of an energy in watt-seconds, at a price per kWh, in tick-watts."""
    return nearest(energy_ws * price_ticks / SECONDS_PER_HOUR)
