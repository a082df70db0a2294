"""The words of procurement: directions, objectives, and how magnitudes are bounded."""

from __future__ import annotations

from enum import StrEnum


class FlexDirection(StrEnum):
    """Which way an activation changes the power at a connection point."""

    UPWARD = "upward"
    """More injection, or less withdrawal."""
    DOWNWARD = "downward"
    """Less injection, or more withdrawal."""

    @property
    def sign(self) -> float:
        """1 upward, -1 downward: the sign of the change of injected power."""
        return 1.0 if self is FlexDirection.UPWARD else -1.0


class Objective(StrEnum):
    """What is best."""

    COST = "cost"
    """Least activation cost of the local need."""
    UPWARD = "upward"
    """The same, then the most upward flexibility for the TSO."""
    DOWNWARD = "downward"
    """The same, then the most downward flexibility for the TSO."""


class CurrentShape(StrEnum):
    """How the linear model bounds a magnitude."""

    PLANES = "planes"
    """N planes of equal angles: the polygon inside the circle."""
    REFINED = "refined"
    """Planes that touch the circle, more of them where phasors are largest: nothing given away."""
    CONES = "cones"
    """The circle itself, as second-order cones."""
