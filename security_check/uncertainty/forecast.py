"""Forecast powers of elements that do not trade, and their deviations.

An interval's :class:`Forecast` is one value; the network, its power flow and its monitors stay the
same from interval to interval.  :class:`Uncertainty` makes forecasts from the expected power of
each element.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import scipy.sparse as sp

from security_check.arrays import ComplexArray, FloatArray, IndexArray
from security_check.model.network import Network
from security_check.model.network_elements import PassiveElements
from security_check.uncertainty.deviation_sets import DeviationSet
from security_check.uncertainty.deviations import Deviations


@dataclass(frozen=True, slots=True)
class Forecast:
    """The passive powers of one interval and their deviations; J ports.

    Parameters
    ----------
    power_pu
        Shape (J,), complex power expected at the ports, injection positive.
    deviations
        Deviations of these powers and of the network's impedances.
    """

    power_pu: ComplexArray
    deviations: Deviations

    @classmethod
    def as_given(cls, network: Network) -> Self:
        """Return the powers that the network states, as certain."""
        power = network.ports.passive_power_pu
        return cls(power, Deviations.none(len(power)).with_impedances(network))


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """The deviations of d passive elements from their expected power.

    Element j's power is ``s_j + xi_j (1 + 1j ratio_j) (relative_j |Re s_j| + absolute_j)``,
    with the expected power ``s_j`` and the deviation ``xi_j``, the latter without unit.

    Parameters
    ----------
    chosen
        Shape (d,), indices of the network's passive elements.
    relative
        Shape (d,), >= 0, half-band in parts of the expected active power.
    absolute_pu
        Shape (d,), >= 0, further half-band, per unit of power.
    reactive_ratio
        Shape (d,), reactive over active power of the deviation; ``nan``: as that of the expected
        power, and 0 where the expected active power is 0.
    set
        The set of ``xi``, shape (d,).

    Raises
    ------
    ValueError
        When the set is not one of d deviations.
    """

    chosen: IndexArray
    relative: FloatArray
    absolute_pu: FloatArray
    reactive_ratio: FloatArray
    set: DeviationSet

    def __post_init__(self) -> None:
        if self.set.count != len(self.chosen):
            raise ValueError(
                f"a set of {self.set.count} deviations cannot be that of "
                f"{len(self.chosen)} elements"
            )

    def forecast(self, network: Network, power_pu: ComplexArray | None = None) -> Forecast:
        """Return the forecast of one interval.

        Parameters
        ----------
        network
            The network; p passive elements.
        power_pu
            Shape (p,), expected complex power of each, injection positive; the powers that the
            network states where not given.

        Raises
        ------
        ValueError
            When the network names no passive elements.
        """
        passive = passive_elements(network)
        expected = passive.power_pu if power_pu is None else power_pu
        given = network.ports.passive_power_pu
        power = given + np.asarray(passive.port_shares @ (expected - passive.power_pu))
        own = expected[self.chosen]
        active = own.real
        band = self.relative * np.abs(active) + self.absolute_pu
        follows = np.divide(own.imag, active, out=np.zeros_like(active), where=active != 0.0)
        ratio = np.where(np.isnan(self.reactive_ratio), follows, self.reactive_ratio)
        shares = sp.csr_array(passive.port_shares[:, self.chosen])
        deviating = sp.csr_array(shares * (band * (1.0 + 1j * ratio))[None, :])
        elements = tuple(passive.elements[k] for k in self.chosen)
        deviations = Deviations(self.set, deviating, elements=elements)
        return Forecast(power, deviations.with_impedances(network))


def passive_elements(network: Network) -> PassiveElements:
    """Return the elements that do not trade, one by one.

    Raises
    ------
    ValueError
        When the network does not state them.
    """
    if network.passive is None:
        raise ValueError(f"the passive elements of {network.name} are not known one by one")
    return network.passive
