"""What must hold: voltage limits of the buses, and the contract at the interface."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VoltageLimits:
    """Limits at every bus but the interface, per unit of the bus' own nominal voltage."""

    minimum_pu: float = 0.90
    maximum_pu: float = 1.10

    def __post_init__(self) -> None:
        if not 0.0 < self.minimum_pu < self.maximum_pu < 2.0:
            raise ValueError(
                f"voltage limits need 0 < minimum < maximum < 2 p.u., "
                f"got {self.minimum_pu} and {self.maximum_pu}"
            )


@dataclass(frozen=True, slots=True)
class InterfaceLimits:
    """The contract between TSO and DSO at the interface, for one interval.

    The upstream operator guarantees a voltage anywhere in the band; downstream keeps the
    exchanged power within the limits, for every voltage of the band (security.md section 7).

    Parameters
    ----------
    voltage_min_pu, voltage_max_pu
        The contracted voltage band at the interface.
    injection_limit_w, withdrawal_limit_w
        Largest active power out of, and into, the downstream network, in watts >= 0;
        ``None`` where the contract sets no limit.

    Raises
    ------
    ValueError
        When the band is empty or a limit is negative.
    """

    voltage_min_pu: float
    voltage_max_pu: float
    injection_limit_w: int | None = None
    withdrawal_limit_w: int | None = None

    def __post_init__(self) -> None:
        if not 0.0 < self.voltage_min_pu <= self.voltage_max_pu < 2.0:
            raise ValueError(
                f"the contracted band needs 0 < minimum <= maximum < 2 p.u., "
                f"got {self.voltage_min_pu} to {self.voltage_max_pu}"
            )
        for name in ("injection_limit_w", "withdrawal_limit_w"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"interface {name} is {value} W, it must be >= 0")
