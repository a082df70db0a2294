"""By how much what does not trade, and impedances, may be off: a set, and what it moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from security_check.network import Network
from security_check.uncertainty import Box, DeviationSet, Together


@dataclass(frozen=True, slots=True)
class Deviations:
    """By how much the power of what does not trade may deviate from its forecast.

    Parameters
    ----------
    set
        The set of d deviations.
    power_pu
        Shape (J, d), complex: port powers change by ``power_pu @ xi``.
    impedances
        How many of the deviations, the last ones, are not of powers but of impedances.
    """

    set: DeviationSet
    power_pu: sp.csr_array
    impedances: int = 0

    @classmethod
    def none(cls, ports: int) -> Deviations:
        """Return no deviations, for that many ports."""
        return cls(Box(0), sp.csr_array((ports, 0), dtype=np.complex128))

    def with_impedances(self, network: Network) -> Deviations:
        """Return these deviations and those of the network's impedances beside them."""
        compensation = network.ports.compensation
        if compensation is None:
            return self
        count = compensation.half.shape[1]
        power = sp.csr_array(sp.hstack([self.power_pu, compensation.half]))
        return Deviations(Together((self.set, Box(count))), power, count)
