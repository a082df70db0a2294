"""Networks with series impedances that are uncertain within a tolerance (docs/uncertainty.md).

A series impedance ``z (1 + delta)``, ``|delta| <= tau``, draws the same currents as ``z`` with a
compensating current ``kappa y v`` beside it, ``kappa = delta / (1 + delta)`` (the compensation
method of the literature).  So every such impedance becomes a port, and the network is factorised
only once.  Each port's kappa lies anywhere between two ends: one deviation in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from security_check.arrays import FloatArray
from security_check.errors import Fault, NetworkFaults
from security_check.model.network import Network
from security_check.model.network_elements import Compensation, Ports, SeriesBranches

LARGEST = 0.4
"""Part of an impedance: with larger tolerances the fixed point of the power flow may diverge."""

_BENT_PU = 1e-6  # per unit: largest error of voltages from scaling transformers in the pi form
_BEYOND = 2.0  # safety factor on the error at rated current in the branch alone


def with_tolerance(network: Network, tolerance: float | Mapping[str, float]) -> Network:
    """Return the network with uncertain impedances, each independent of the others.

    Parameters
    ----------
    network
        The network.
    tolerance
        Parts of the impedance, of all lines and transformers, or per element id (exact where not
        named): 0.1 is +-10 %.

    Raises
    ------
    NetworkFaults
        When the network's impedances are not known one by one, it has tolerances already, an
        element does not exist, a tolerance is not from 0 to 0.4, or it is too large for scaling
        a transformer whose magnetising branch is in the middle.
    """
    series = network.series
    if series is None or network.ports.compensation is not None:
        why = "already have tolerances" if series else "are not known one by one"
        raise NetworkFaults([Fault("impedance_tolerance", f"the impedances of this network {why}")])
    known = tuple(dict.fromkeys(series.elements))
    given = tolerance if isinstance(tolerance, Mapping) else dict.fromkeys(known, tolerance)
    faults = [
        Fault(element, f"its impedance tolerance is {part:g}; it must be from 0 to {LARGEST:g}")
        for element, part in given.items()
        if not 0.0 <= part <= LARGEST
    ]
    faults += [
        Fault(element, "an impedance tolerance is given, but no such branch is in service")
        for element in given
        if element not in known
    ]
    faults += _bent(series, given) if not faults else []
    if faults:
        raise NetworkFaults(faults)
    uncertain = [element for element in known if given.get(element, 0.0) > 0.0]
    parts = np.array([given[element] for element in uncertain])
    return _compensated(network, uncertain, parts) if uncertain else network


def _bent(series: SeriesBranches, given: Mapping[str, float]) -> list[Fault]:
    """Return the transformers for which scaling in the pi form has too large an error.

    With the shunt in the middle, the impedance of the pi form is ``z (1 + z y / 4)``, which is not
    proportional to z.
    """
    largest: dict[str, float] = {}
    for element, bent in zip(series.elements, series.bent_pu.tolist(), strict=True):
        part = given.get(element, 0.0)
        missed = _BEYOND * bent * part * (1.0 + part)
        largest[element] = max(missed, largest.get(element, 0.0))
    return [
        Fault(
            element,
            f"with an impedance tolerance of {given[element]:g}, its magnetising current and "
            f"short-circuit voltage may put voltages off by {missed:.2g} p.u. from those checked; "
            f"at most {_BENT_PU:g} p.u. is allowed, so its tolerance must be smaller",
        )
        for element, missed in largest.items()
        if missed > _BENT_PU
    ]


def _compensated(network: Network, uncertain: list[str], parts: FloatArray) -> Network:
    """Return the network with a port for each conductor of the elements named."""
    series, ports = network.series, network.ports
    assert series is not None
    positions = {element: k for k, element in enumerate(uncertain)}
    chosen = np.array([k for k, e in enumerate(series.elements) if e in positions], dtype=np.int64)
    of = np.array([positions[series.elements[k]] for k in chosen], dtype=np.int64)
    admittance = sp.csr_array(series.admittance[chosen][:, chosen])
    # In units in which their admittance is one, voltages and currents have the same accuracy.
    scale = np.sqrt(np.abs(admittance.diagonal()))
    across = series.across[:, chosen] * scale[None, :]
    low, high = -parts / (1.0 - parts), parts / (1.0 + parts)
    first, count = len(ports.names), len(chosen)
    half = sp.csr_array(
        ((0.5 * (high - low))[of], (first + np.arange(count), of)),
        shape=(first + count, len(uncertain)),
    )
    compensation = Compensation(
        first,
        sp.csr_array(admittance / (scale[:, None] * scale[None, :])),
        sp.csr_array(series.at_terminals[:, chosen] * scale[None, :]),
        half,
    )
    larger = Ports(
        ports.names + tuple(series.elements[k] for k in chosen),
        sp.csr_array(sp.hstack([ports.incidence, across])),
        np.concatenate([ports.passive_power_pu, (0.5 * (high + low))[of]]),
        compensation,
    )
    passive = network.passive
    return replace(
        network,
        ports=larger,
        port_shares=_with_empty_rows(network.port_shares, count),
        passive=passive
        and replace(passive, port_shares=_with_empty_rows(passive.port_shares, count)),
    )


def _with_empty_rows(shares: sp.csr_array, more: int) -> sp.csr_array:
    return sp.csr_array(sp.vstack([shares, sp.csr_array((more, shares.shape[1]))]))
