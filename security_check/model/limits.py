"""Voltage limits of the buses, and the limits of the contract at the interface."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BusBand:
    """A narrower voltage band at one bus, for example one promised to a downstream operator.

    Parameters
    ----------
    bus
        Name of the limited voltage, for example ``"bus:7"``; it stands for all phases of the bus
        where these are modelled.
    minimum_pu, maximum_pu
        Per unit of the bus' own nominal voltage.

    Raises
    ------
    ValueError
        When the band is empty; names the bus.
    """

    bus: str
    minimum_pu: float
    maximum_pu: float

    def __post_init__(self) -> None:
        if not 0.0 < self.minimum_pu <= self.maximum_pu < 2.0:
            raise ValueError(
                f"the voltage band of {self.bus} needs 0 < minimum <= maximum < 2 p.u., "
                f"got {self.minimum_pu} to {self.maximum_pu}"
            )


@dataclass(frozen=True, slots=True)
class VoltageLimits:
    """Limits at every bus but the interface.

    Parameters
    ----------
    minimum_pu, maximum_pu
        Per unit of the bus' own nominal voltage, per phase where phases are modelled.
    unbalance
        Largest ratio of negative to positive sequence voltage at three-phase buses (EN 50160:
        0.02); ``None`` where it is not limited.
    buses
        Narrower bands of single buses; the narrowest of all that name a bus holds there.
    """

    minimum_pu: float = 0.90
    maximum_pu: float = 1.10
    unbalance: float | None = None
    buses: tuple[BusBand, ...] = ()

    def __post_init__(self) -> None:
        if self.unbalance is not None and not 0.0 < self.unbalance < 1.0:
            raise ValueError(f"the limit of voltage unbalance is {self.unbalance}, not in (0, 1)")
        if not 0.0 < self.minimum_pu < self.maximum_pu < 2.0:
            raise ValueError(
                f"voltage limits need 0 < minimum < maximum < 2 p.u., "
                f"got {self.minimum_pu} and {self.maximum_pu}"
            )


@dataclass(frozen=True, slots=True)
class InterfaceLimits:
    """The contract between TSO and DSO at the interface, for one interval.

    The upstream operator guarantees a voltage anywhere in the band; downstream keeps the
    exchanged power within the limits, for every voltage of the band (docs/hierarchy.md).

    Parameters
    ----------
    voltage_min_pu, voltage_max_pu
        The contracted voltage band at the interface.
    injection_limit_w, withdrawal_limit_w
        Largest active power out of, and into, the downstream network, in watts >= 0;
        ``None`` where the contract sets no limit.
    unbalance_pu
        How far a phase may deviate from the mean of the phases, per unit; each phase stays in
        the band.  ``None``: the phases are balanced.
    reactive_min_var, reactive_max_var
        Smallest and largest reactive power out of the downstream network, in var, of either sign;
        ``None`` where the contract sets no limit.

    Raises
    ------
    ValueError
        When the band or the reactive range is empty, a limit is not a whole number, or a limit of
        active power is negative.
    """

    voltage_min_pu: float
    voltage_max_pu: float
    injection_limit_w: int | None = None
    withdrawal_limit_w: int | None = None
    unbalance_pu: float | None = None
    reactive_min_var: int | None = None
    reactive_max_var: int | None = None

    def __post_init__(self) -> None:
        if not 0.0 < self.voltage_min_pu <= self.voltage_max_pu < 2.0:
            raise ValueError(
                f"the contracted band needs 0 < minimum <= maximum < 2 p.u., "
                f"got {self.voltage_min_pu} to {self.voltage_max_pu}"
            )
        for name in ("injection_limit_w", "withdrawal_limit_w"):
            value = getattr(self, name)
            # A limit that is not a number would compare as no limit at all.
            if value is not None and not (0 <= value < math.inf and value == math.floor(value)):
                raise ValueError(
                    f"interface {name} is {value} W, it must be a whole number of watts >= 0"
                )
        if self.unbalance_pu is not None and not 0.0 <= self.unbalance_pu < 1.0:
            raise ValueError(
                f"the contracted unbalance is {self.unbalance_pu} p.u., it must be in [0, 1)"
            )
        self._check_reactive_range()

    @property
    def limits_power(self) -> bool:
        """Whether a power is limited: it counts for all parts of a network together."""
        return self != self.without_power()

    def without_power(self) -> InterfaceLimits:
        """Return the same contract without limits of power."""
        return InterfaceLimits(
            self.voltage_min_pu, self.voltage_max_pu, unbalance_pu=self.unbalance_pu
        )

    def _check_reactive_range(self) -> None:
        for name in ("reactive_min_var", "reactive_max_var"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value == math.floor(value)):
                raise ValueError(f"interface {name} is {value} var, it must be a whole number")
        low, high = self.reactive_min_var, self.reactive_max_var
        if low is not None and high is not None and low > high:
            raise ValueError(
                f"interface reactive_min_var {low} var exceeds reactive_max_var {high} var"
            )
