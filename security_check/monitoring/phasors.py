"""The phasors whose magnitudes are limited, as linear functions of node voltages."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from security_check.arrays import ComplexArray
from security_check.model.network import Network

_TURN = np.exp(2j * np.pi / 3)
_SEQUENCES = np.array([[1.0, _TURN, _TURN**2], [1.0, _TURN**2, _TURN]]) / 3.0  # positive, negative


def phasors(network: Network) -> list[sp.csr_array]:
    """Return the phasors as linear functions of node voltages, block by block, per unit.

    Returns
    -------
    list
        Matrices over the n nodes: limited voltages (m rows), currents into terminals, currents
        that the interface supplies (h rows, projected on what is held), and a positive and a
        negative sequence voltage for each bus with three phases, by turns.
    """
    held = sp.csr_array(network.interface.phasors.conj().T)
    drawn = held @ network.admittance[network.interface.nodes]
    triples = network.voltages.triples
    rows = np.repeat(np.arange(2 * len(triples)), 3)
    columns = np.repeat(triples, 2, axis=0).ravel()
    values = np.tile(_SEQUENCES.ravel(), len(triples))
    count = len(network.voltages.elements)
    sequences = sp.csr_array((values, (rows, columns)), shape=(2 * len(triples), count))
    voltages = network.voltages.incidence
    return [voltages, network.terminals.admittance, drawn, sequences @ voltages]


def entering(network: Network) -> ComplexArray:
    """Return the part of the ports' currents that enters at the held nodes themselves, (h, J)."""
    source = network.interface
    found = source.phasors.conj().T @ network.ports.incidence[source.nodes].toarray()
    return np.asarray(found)
