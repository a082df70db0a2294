"""Whole amounts divided in proportion, so that the parts add up."""

from __future__ import annotations

from collections.abc import Mapping


def shared(amount: int, weights: Mapping[str, int]) -> dict[str, int]:
    """Return an amount in proportion to weights, by largest remainder.

    Each part is its exact share rounded down or up, and the parts add up to the amount.  Among
    equal remainders the first name gets more.

    Raises
    ------
    ValueError
        When there is no weight, or one is not above 0.
    """
    if not weights:
        raise ValueError("an amount has nobody to be shared by")
    for name, weight in weights.items():
        if weight <= 0:
            raise ValueError(f"{name}: its share is {weight}; it must be above 0")
    total, sign = sum(weights.values()), -1 if amount < 0 else 1
    exact = {name: divmod(abs(amount) * weight, total) for name, weight in weights.items()}
    left = abs(amount) - sum(whole for whole, _ in exact.values())
    favoured = sorted(exact, key=lambda name: (-exact[name][1], name))[:left]
    return {name: sign * (whole + (name in favoured)) for name, (whole, _) in exact.items()}
