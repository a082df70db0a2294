"""Profiles of a year by a formula: households, solar and wind, between 0 and about 1.

With n the day of the year, h the hour in the middle of an interval, and u(name, day) a number from
0 to 1 that follows from the seed, the name and the date (SHA-256):

    ``households = (0.5 + 0.12 cos(2 pi (n - 15) / 365)) (0.95 + 0.1 u)``
    ``             (0.7 + 0.25 exp(-((h - 8) / 2)^2) + 0.55 exp(-((h - 19) / 2.5)^2))``
    ``solar = max(0, sin a sin d + cos a cos d cos(pi (h - 12) / 12)) (1 - 0.8 u)``
    ``wind = min(1, (1.2 v)^3)``

with latitude ``a = 52`` degrees, ``d = -23.45 cos(2 pi (n + 10) / 365)`` degrees, and
``v = ((1 - h / 24) u(today) + h / 24 u(tomorrow)) (1 + 0.25 cos(2 pi (n - 15) / 365)) / 1.25``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from math import cos, exp, pi, radians, sin

import numpy as np

from security_check.arrays import FloatArray

_LATITUDE = radians(52.0)
_BITS = 53  # of a float


def generated(seed: int, starts: Sequence[datetime], length: timedelta) -> dict[str, FloatArray]:
    """Return each profile of the formula, shape (T,)."""
    middles = [each + length / 2 for each in starts]
    return {
        name: np.array([formula(seed, each) for each in middles])
        for name, formula in FORMULAS.items()
    }


def uniform(seed: int, name: str, day: date) -> float:
    """Return a number from 0 to below 1 that follows from a seed, a name and a date."""
    digest = hashlib.sha256(f"{seed} {name} {day.isoformat()}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> (64 - _BITS)) * 0.5**_BITS


def _hour(moment: datetime) -> float:
    return moment.hour + moment.minute / 60 + moment.second / 3600


def _season(moment: datetime) -> float:
    """Return 1 in the middle of January, and -1 half a year later."""
    return cos(2 * pi * (moment.timetuple().tm_yday - 15) / 365)


def _households(seed: int, moment: datetime) -> float:
    hour = _hour(moment)
    shape = 0.7 + 0.25 * exp(-(((hour - 8) / 2) ** 2)) + 0.55 * exp(-(((hour - 19) / 2.5) ** 2))
    level = 0.5 + 0.12 * _season(moment)
    return level * (0.95 + 0.1 * uniform(seed, "households", moment.date())) * shape


def _solar(seed: int, moment: datetime) -> float:
    day = moment.timetuple().tm_yday
    tilt = radians(-23.45) * cos(2 * pi * (day + 10) / 365)
    height = sin(_LATITUDE) * sin(tilt)
    height += cos(_LATITUDE) * cos(tilt) * cos(pi * (_hour(moment) - 12) / 12)
    return max(0.0, height) * (1 - 0.8 * uniform(seed, "solar", moment.date()))


def _wind(seed: int, moment: datetime) -> float:
    today, later = moment.date(), moment.date() + timedelta(days=1)
    part = _hour(moment) / 24
    speed = (1 - part) * uniform(seed, "wind", today) + part * uniform(seed, "wind", later)
    speed *= (1 + 0.25 * _season(moment)) / 1.25
    return min(1.0, (1.2 * speed) ** 3)


FORMULAS: dict[str, Callable[[int, datetime], float]] = {
    "households": _households,
    "solar": _solar,
    "wind": _wind,
}
"""What each generated profile is computed by, from the seed and the middle of an interval."""
