"""Build a network from the ``source`` of a scenario, and collect all faults."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import pandapower as pp
import pandapower.networks
from pandapower.convert_format import convert_format

from gateway.formats.input_files import bundled, bundled_names
from gateway.formats.optional_packages import missing_package
from gateway.scenario.schema import NetworkSection
from security_check.errors import Fault, NetworkFaults
from security_check.importers import Net
from security_check.importers.opendss import circuit_tap_positions, network_from_opendss
from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.importers.pandapower_outages import outages_from_pandapower
from security_check.importers.pandapower_phases import phases_from_pandapower
from security_check.importers.pandapower_taps import (
    Taps,
    mark_shifters,
    marked_shifters,
    tap_positions,
)
from security_check.importers.tap_ranges import Reading, TappedSource, states_in_ranges
from security_check.model.element_ids import element_id, element_ids
from security_check.model.network import Network
from security_check.model.network_state import NetworkState

Held = Literal["source", "phases"]


def open_net(source: str, folder: Path, faults: list[Fault]) -> Net | None:
    """Return the pandapower net that ``source`` names, or ``None`` after adding the fault.

    Parameters
    ----------
    source
        ``"bundled:NAME"``, ``"simbench:CODE"``, ``"pandapower:BUILDER"``, or the path of a
        pandapower JSON file, relative to ``folder``.
    """
    kind, colon, name = source.partition(":")
    openers = {"bundled": _bundled, "simbench": _simbench, "pandapower": _built}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other programs; what they return is checked
            if colon and kind in openers:
                return openers[kind](name)
            return _json(folder / source)
    except _UnusableSourceError as error:
        faults.append(Fault("network.source", str(error)))
        return None


class _UnusableSourceError(Exception):
    """A source is not a network; the message is a sentence."""


def _bundled(name: str) -> Net:
    if name not in bundled_names(".json"):
        known = ", ".join(sorted(bundled_names(".json") + bundled_names(".dss")))
        raise _UnusableSourceError(
            f'no network "{name}" ships with the project; the names are {known}'
        )
    return _json(bundled(f"{name}.json"))


def _simbench(code: str) -> Net:
    if missing := missing_package("simbench", f'"simbench:{code}"'):
        raise _UnusableSourceError(f"{missing}, or give the path of a pandapower JSON file")
    import simbench  # large, and needed for these networks only

    if code not in simbench.collect_all_simbench_codes():
        raise _UnusableSourceError(f'"{code}" is not a simbench code such as 1-LV-semiurb4--0-sw')
    return simbench.get_simbench_net(code)


def _built(name: str) -> Net:
    builder = getattr(pandapower.networks, name, None)
    # The module's namespace also has imported functions, which are not builders.
    home = str(getattr(builder, "__module__", ""))
    if not callable(builder) or not home.startswith("pandapower.networks."):
        raise _UnusableSourceError(
            f'"{name}" is not a network that pandapower builds, such as case33bw'
        )
    try:
        net = builder()
    except TypeError as error:
        raise _UnusableSourceError(f'"{name}" cannot be built without arguments: {error}') from None
    if not isinstance(net, pp.pandapowerNet):
        raise _UnusableSourceError(f'"{name}" does not build one pandapower network')
    return net


def _json(path: Path) -> Net:
    if not path.is_file():
        raise _UnusableSourceError(f"there is no file {path}")
    try:
        net = pp.from_json(str(path), convert=False)
        marked = marked_shifters(net)
        convert_format(net)
        mark_shifters(net, marked)
    # The readers of pandapower raise exceptions of many types.
    except Exception as error:
        raise _UnusableSourceError(
            f"{path} cannot be read as pandapower JSON: {_brief(error)}"
        ) from None
    if not isinstance(net, pp.pandapowerNet):
        raise _UnusableSourceError(f"{path} does not hold a pandapower network")
    return net


States = tuple[Network | None, tuple[NetworkState, ...]]
"""A network and its further states; ``None`` and no states after its faults have been added."""


def build_network(
    net: Net,
    section: NetworkSection,
    held: Held,
    power_factor: Mapping[str, float],
    name: str,
    faults: list[Fault],
) -> States:
    """Return the network of ``net`` in all states, or ``None`` after adding all its faults.

    A network with ``asymmetric_load`` customers has a node for each phase; ``held`` then says which
    voltages at the interface the contract limits.
    """

    def read(taps: Taps | None) -> Reading:
        if section.connection_points == "asymmetric_load":
            network = phases_from_pandapower(
                net, held=held, taps=taps, power_factor=power_factor, name=name
            )
            return network, ()
        network = network_from_pandapower(
            net,
            connection_points=section.connection_points,
            passive=section.passive,
            taps=taps,
            power_factor=power_factor,
            name=name,
        )
        return network, ()

    return _in_all_states(section, TappedSource(read, partial(tap_positions, net)), faults)


def build_meshed(
    net: Net,
    section: NetworkSection,
    power_factor: Mapping[str, float],
    name: str,
    faults: list[Fault],
) -> States:
    """Return the network of ``net`` with its generators, also in all further states.

    If there are faults, they are all added, and the network is ``None`` without states.
    """

    def read(taps: Taps | None) -> Reading:
        network, outages = outages_from_pandapower(
            net,
            section.outages,
            connection_points=section.connection_points,
            passive=section.passive,
            taps=taps,
            power_factor=power_factor,
            distributed_slack=section.distributed_slack,
        )
        return replace(network, name=name), outages

    source = TappedSource(read, partial(tap_positions, net), len(section.outages))
    network, states = _in_all_states(section, source, faults)
    missing = missing_package("lightsim2grid", "a network with voltage-controlled generators")
    if network is None or network.generators is None or missing is None:
        return network, states
    faults.append(Fault("network.model", missing))
    return None, ()


def _in_all_states(section: NetworkSection, source: TappedSource, faults: list[Fault]) -> States:
    with _as_faults(faults):
        network, states = states_in_ranges(section.taps, source)
        return network, tuple(states)
    return None, ()


@contextmanager
def _as_faults(faults: list[Fault]) -> Iterator[None]:
    """Add all faults of a net that the block raises."""
    try:
        yield
    except NetworkFaults as found:
        faults.extend(_of_section(fault) for fault in found.faults)
    # pandapower raises these, warnings included, on tables that contradict each other.
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, Warning) as error:
        faults.append(Fault("network", f"pandapower cannot model it: {_brief(error)}"))


def is_circuit(source: str) -> bool:
    """Return whether ``source`` is an OpenDSS circuit: a ``.dss`` file, or one that is bundled."""
    return source.endswith(".dss") or source.removeprefix("bundled:") in (
        bundled_names(".dss") if source.startswith("bundled:") else ()
    )


def open_circuit(section: NetworkSection, folder: Path, name: str, faults: list[Fault]) -> States:
    """Return the network of an OpenDSS circuit in all states, or ``None`` after adding its faults.

    Power factors are 1: the connection points are known only after the circuit has been read.
    """

    def read(taps: Taps | None) -> Reading:
        network = network_from_opendss(
            path,
            name=name,
            taps=taps,
            capacitors=section.capacitors,
            default_rating_a=section.default_rating_a,
        )
        return network, ()

    source = section.source
    kind, colon, bundle = source.partition(":")
    path = bundled(f"{bundle}.dss") if colon and kind == "bundled" else folder / source
    if not path.is_file():
        faults.append(Fault("network.source", f"there is no file {path}"))
    elif missing := missing_package("opendssdirect", f'"{source}"'):
        faults.append(Fault("network.source", missing))
    else:
        given = partial(circuit_tap_positions, path)
        return _in_all_states(section, TappedSource(read, given, where="taps."), faults)
    return None, ()


def _of_section(fault: Fault) -> Fault:
    """Return a fault of what the scenario states about taps or capacitors under its key's name."""
    stated = fault.element.partition(".")[0] in ("taps", "capacitors")
    return Fault(f"network.{fault.element}", fault.detail) if stated else fault


def connection_points_of(net: Net, table: str) -> tuple[str, ...]:
    """Return the connection points of a network of ``net``, even if the net has faults."""
    rows = net[table]
    return element_ids(table, rows.index[rows.in_service.astype(bool)])


def _brief(error: BaseException) -> str:
    """Return type and first line of an error; the rest is for programmers."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def places_of(net: Net | None) -> dict[str, tuple[float, float]]:
    """Return the coordinates of the buses of a net; empty unless every bus has some."""
    if net is None or "geo" not in net.bus:
        return {}
    places = {}
    for index, text in net.bus.geo.items():
        try:
            x, y = json.loads(text)["coordinates"][:2]
            places[element_id("bus", index)] = (float(x), float(y))
        except (TypeError, ValueError, LookupError):  # unreadable coordinates
            return {}
    return places
