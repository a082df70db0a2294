"""Deviations of passive powers and of impedances: a set, and their effect on port powers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from security_check.model.network import Network
from security_check.uncertainty.deviation_sets import BoxSet, DeviationSet, ProductSet


@dataclass(frozen=True, slots=True)
class Deviations:
    """Deviations of one network in one interval; d of them, J ports.

    Parameters
    ----------
    set
        The set of d deviations.
    power_pu
        Shape (J, d), complex: port powers change by ``power_pu @ xi``, with ``xi`` of shape (d,)
        in the set, in parts of the half-bands.
    impedances
        Number of deviations, the last ones, that are of impedances rather than powers.
    elements
        The d elements that deviate; empty where not known.
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
