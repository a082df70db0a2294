"""What a file's last settings leave, and the settings with which a circuit is read.

A circuit is read as a snapshot at its base frequency, whatever its file solved last.  Settings that
belong to one solution are set for it.  Settings that change what the circuit itself is are refused
where their value is not modelled; all others describe the circuit (``longlinecorrection``,
``%normal``, ``voltagebases``) or have no effect on it (of loads, meters, plots and reports).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from security_check.errors import Fault
from security_check.importers.opendss_circuit.elements import (
    Dss,
    enabled_elements,
    id_of,
    properties,
)
from security_check.model.element_ids import element_id

# Of one solution.  ``mode`` comes first: OpenDSS changes others with it.
_SNAPSHOT = {
    "mode": "snapshot", "controlmode": "off", "loadmodel": "powerflow", "algorithm": "normal",
    "number": "1", "hour": "0", "sec": "0", "loadmult": "1", "genmult": "1", "random": "none",
    "tolerance": "0.0001", "maxiterations": "15", "miniterations": "2", "maxcontroliter": "10",
    "recorder": "no", "log": "no", "demandinterval": "no",
}  # fmt: skip

# Of the circuit: the one value that is modelled, and why.
_NEEDED = {
    "cktmodel": ("multiphase", "a circuit of positive sequence has no phases"),
    "seasonrating": ("no", "ratings that depend on a season are not modelled"),
    # No test sets it: OpenDSS itself may end the process with a fault of memory.
    "parallel": ("no", "what the file leaves would depend on when its solutions end"),
}

_SAME_HZ = 1e-6
_NEAR = (0.5, 2.0)
"""How far the voltage without customers may be from the base voltage, as a ratio."""

_ADDED = re.compile(r"cadd\d+")
"""How OpenDSS names the capacitors that mode AutoAdd puts into a circuit."""


def set_snapshot(dss: Dss) -> None:
    """Set all that belongs to one solution: a snapshot at the circuit's base frequency."""
    for option, value in _SNAPSHOT.items():
        dss.Text.Command(f"set {option}={value}")
    dss.Text.Command(f"set frequency={base_frequency(dss)!r}")


def base_frequency(dss: Dss) -> float:
    """Return the base frequency of a circuit, Hz."""
    return float(_option(dss, "basefrequency"))


def _option(dss: Dss, name: str) -> str:
    dss.Text.Command(f"get {name}")
    return str(dss.Text.Result()).strip().lower()


def setting_faults(dss: Dss) -> list[Fault]:
    """Return the faults of settings that change what the circuit is, each named by its setting."""
    faults = [
        Fault(f"set {option}", f"it is {found or 'not readable'}, not {needed}: {why}")
        for option, (needed, why) in _NEEDED.items()
        if (found := _option(dss, option)) != needed
    ]
    return [*faults, *_frequency_faults(dss), *_shared_names(dss), *_added(dss)]


def _frequency_faults(dss: Dss) -> Iterator[Fault]:
    """Yield the sources that were made for another frequency than the circuit's.

    An element may be stated at a frequency of its own (``basefreq``), as a line code often is:
    OpenDSS converts its reactance.  A source at another frequency has no voltage.
    """
    base = base_frequency(dss)
    for element in enabled_elements(dss, {"vsource"}):
        given = properties(dss, element)
        made, own = float(given["basefreq"]), float(given["frequency"])
        if abs(made - base) > _SAME_HZ:
            yield Fault(
                "set basefrequency",
                f"it is {base:g} Hz, but {id_of(element)} was made for {made:g} Hz: set "
                f"defaultbasefrequency before the circuit is made, and not after",
            )
        elif abs(own - base) > _SAME_HZ:
            detail = f"its frequency is {own:g} Hz, but the circuit's base frequency {base:g} Hz"
            yield Fault(id_of(element), detail)


def _shared_names(dss: Dss) -> Iterator[Fault]:
    names = Counter(str(name).lower() for name in dss.Circuit.AllElementNames())
    for name, count in names.items():
        if count > 1:
            detail = f"{count} elements have this name (set allowduplicates); names must differ"
            yield Fault(id_of(name), detail)


def _added(dss: Dss) -> Iterator[Fault]:
    for element in enabled_elements(dss, {"capacitor"}):
        if _ADDED.fullmatch(element.partition(".")[2]):
            yield Fault(
                id_of(element),
                "a solution with set mode=autoadd put it into the circuit; solve in another mode, "
                "or give it a name of its own",
            )


def base_voltage_faults(dss: Dss, supplied: frozenset[str]) -> list[Fault]:
    """Return the buses whose base voltage is none, or not near the voltage without customers.

    OpenDSS takes bases from its solution at ``calcvoltagebases``; at another frequency than that of
    the source that has no voltage, and the lowest base is taken everywhere.

    Parameters
    ----------
    dss
        The circuit, solved as a snapshot while nothing consumes or generates.
    supplied
        Names of the nodes with a closed path to a source; at others a voltage means nothing, and a
        bus with one of them has a fault of its own.
    """
    faults = []
    for bus in dss.Circuit.AllBusNames():
        dss.Circuit.SetActiveBus(bus)
        base_kv = float(dss.Bus.kVBase())
        nodes = [f"{bus}.{number}".lower() for number in dss.Bus.Nodes()]
        name = element_id("bus", str(bus).lower())
        if not base_kv > 0.0:
            faults.append(Fault(name, "it has no base voltage (set voltagebases)"))
            continue
        kv = max(dss.Bus.VMagAngle()[0::2], default=0.0) / 1e3
        if supplied.issuperset(nodes) and not _NEAR[0] < kv / base_kv < _NEAR[1]:
            detail = (
                f"its base voltage is {base_kv:.4g} kV to ground, but its voltage without "
                f"customers {kv:.4g} kV: set voltagebases, and calcvoltagebases as a snapshot"
            )
            faults.append(Fault(name, detail))
    return faults
