"""By how much what does not trade, and impedances, may be off: a set, and what it moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from security_check.model.network import Network
from security_check.uncertainty.deviation_sets import BoxSet, DeviationSet, ProductSet


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
    elements
        The d elements that deviate; empty where nobody has named them.
    """

    set: DeviationSet
    power_pu: sp.csr_array
    impedances: int = 0
    elements: tuple[str, ...] = ()

    @classmethod
    def none(cls, ports: int) -> Deviations:
        """Return no deviations, for that many ports."""
        return cls(BoxSet(0), sp.csr_array((ports, 0), dtype=np.complex128))

    def with_impedances(self, network: Network) -> Deviations:
        """Return these deviations and those of the network's impedances beside them."""
        compensation = network.ports.compensation
        if compensation is None:
            return self
        count = compensation.half.shape[1]
        power = sp.csr_array(sp.hstack([self.power_pu, compensation.half]))
        # A branch of several conductors has a port for each, and one deviation for all of them.
        branches = dict.fromkeys(network.ports.names[compensation.first :])
        elements = (*self.elements, *branches)
        return Deviations(ProductSet((self.set, BoxSet(count))), power, count, elements)
