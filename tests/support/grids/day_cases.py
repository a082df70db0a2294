"""Days of random feeders as procurement cases."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from random_feeders import Feeder, random_case

VARYING = ("p_kw", "q_kvar")


def random_day(seed: int, count: int = 4, *, pods: int = 3, terms: bool = True) -> dict[str, Any]:
    """Return a feeder over intervals of 30 minutes, in some of which the limit is exceeded.

    The first resource, behind the limit, always has an offer, and terms if said so.
    """
    rng = np.random.default_rng(seed)
    case = random_case(seed, pods=pods)
    level = rng.uniform(0.6, 1.1, count)
    for entry in case["pods"]:
        for key in VARYING:
            entry[key] = (entry[key] * level).tolist()
    case["intervals"] = {"start": "17:00", "minutes": 30, "count": count}
    for offer in case["offers"]:
        offer["to_kw"] = (offer["to_kw"] * level).tolist()
        offer["price_eur_per_kwh"] = rng.uniform(0.5, 2.0, count).tolist()
    case["terms"] = []
    for offer in case["offers"] if terms else ():
        size = min(offer["to_kw"])
        own: dict[str, Any] = {"pod": offer["pod"], "direction": offer["direction"]}
        if rng.random() < 0.5:
            own["energy_kwh"] = float(size * 0.5 * rng.uniform(0.3, count))
        if rng.random() < 0.5:
            own["ramp_kw"] = float(size * rng.uniform(0.1, 1.0))
        if rng.random() < 0.7:
            own["least_kw"] = float(size * rng.uniform(0.02, 0.4))
            own["shortest_minutes"] = int(rng.choice([30, 45, 60, 90]))
        if rng.random() < 0.5:
            own["longest_minutes"] = int(rng.choice([90, 110, 120]))
        if rng.random() < 0.5:
            own["rest_minutes"] = int(rng.choice([30, 60, 90]))
        case["terms"].append(own)
    return case


def interval(case: dict[str, Any], t: int) -> dict[str, Any]:
    """Return the case of one interval, written down by itself, without terms."""
    one = copy.deepcopy(case)
    for entry in (*one["pods"], *one["offers"]):
        for key, value in entry.items():
            if isinstance(value, list):
                entry[key] = value[t]
    del one["intervals"], one["terms"]
    return one


def feeders(case: dict[str, Any]) -> list[Feeder]:
    """Return the physics of each interval."""
    return [Feeder(interval(case, t)) for t in range(case["intervals"]["count"])]
