"""The rows of a network: kind, element and side of each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from security_check.arrays import IndexArray
from security_check.model.element_ids import without_phase
from security_check.model.network import Network
from security_check.monitoring.directions import AROUND, BESIDE

INTERFACE = "interface"


class RowKind(IntEnum):
    """The kinds of rows; see the table of :mod:`security_check.monitoring.monitors`."""

    VOLTAGE_MAX = 0
    VOLTAGE_MIN = 1
    CURRENT_EXPORT = 2
    CURRENT_IMPORT = 3
    INTERFACE_INJECTION = 4
    INTERFACE_WITHDRAWAL = 5
    INTERFACE_REACTIVE_MAX = 6
    INTERFACE_REACTIVE_MIN = 7
    UNBALANCE = 8
    REACTIVE_MAX = 9
    REACTIVE_MIN = 10
    POWER_MAX = 11
    POWER_MIN = 12


OF_INTERFACE = (
    RowKind.INTERFACE_INJECTION,
    RowKind.INTERFACE_WITHDRAWAL,
    RowKind.INTERFACE_REACTIVE_MAX,
    RowKind.INTERFACE_REACTIVE_MIN,
)

# The sign with which the phasor's magnitude (or power, out of the network if reactive) enters f.
SIGN = np.array([1.0, -1.0, 1.0, 1.0, -1.0, 1.0, 1.0, -1.0, 1.0])

# The direction in which the interface's current counts: along the voltage it carries active power
# into the network, a quarter turn ahead of it reactive power out of the network.
ALONG = np.array([1.0] * 6 + [1j, 1j] + [1.0])


@dataclass(frozen=True, slots=True)
class RowTable:
    """All rows of a network; R of them.

    Parameters
    ----------
    kind, phasor
        Shape (R,): each row's kind, and its phasor in the order of
        :func:`~security_check.monitoring.phasors.phasors`; of the interface's rows, the first of h.
    elements, sides
        R names.
    further
        Shape (x,), terminals whose currents are watched in further directions, by the x rows
        before those of unbalance, which are the last.
    """

    kind: IndexArray
    phasor: IndexArray
    elements: tuple[str, ...]
    sides: tuple[str, ...]
    further: IndexArray


def rows_of(network: Network, crossed: IndexArray) -> RowTable:
    """Return the rows of a network, kind by kind.

    Parameters
    ----------
    network
        The network.
    crossed
        The terminals at which customers of different phases meet.
    """
    voltages, terminals = network.voltages, network.terminals
    buses, ends = len(voltages.elements), len(terminals.elements)
    voltage, current = np.arange(buses), buses + np.arange(ends)
    interface = np.full(len(OF_INTERFACE), buses + ends)
    negative = buses + ends + network.held + 2 * np.arange(len(voltages.triples)) + 1
    turned = np.repeat(negative, len(AROUND))
    blocks = [voltage, voltage, current, current]
    further = np.repeat(crossed, len(BESIDE))
    either = np.repeat([RowKind.CURRENT_EXPORT, RowKind.CURRENT_IMPORT], len(BESIDE) // 2)
    unbalanced = tuple(without_phase(voltages.elements[k]) for k in voltages.triples[:, 0])
    nowhere = ("",)
    return RowTable(
        kind=np.concatenate(
            [
                np.repeat(np.arange(len(blocks)), [len(block) for block in blocks]),
                np.array(OF_INTERFACE),
                np.resize(either, len(further)),
                np.full(len(turned), RowKind.UNBALANCE),
            ]
        ),
        phasor=np.concatenate([*blocks, interface, current[further], turned]),
        elements=(
            voltages.elements * 2
            + terminals.elements * 2
            + (INTERFACE,) * len(interface)
            + tuple(terminals.elements[k] for k in further)
            + tuple(np.repeat(unbalanced, len(AROUND)).tolist())
        ),
        sides=(
            nowhere * (2 * buses)
            + terminals.sides * 2
            + nowhere * len(interface)
            + tuple(terminals.sides[k] for k in further)
            + nowhere * len(turned)
        ),
        further=further,
    )
