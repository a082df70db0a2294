"""From the ``source`` of a scenario to a network, with every fault on the way."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import pandapower as pp
import pandapower.networks

from gateway.formats.bundled import bundled, bundled_names
from gateway.scenario.schema import NetworkSection
from security_check.errors import Fault, NetworkFaults
from security_check.importers import Net
from security_check.importers.opendss import network_from_opendss
from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.importers.pandapower_outages import outages_from_pandapower
from security_check.importers.pandapower_phases import phases_from_pandapower
from security_check.model.network import Network
from security_check.model.outage import Outage

Held = Literal["source", "phases"]
ConnectionTable = Literal["load", "sgen", "storage", "asymmetric_load"]


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
            warnings.simplefilter("ignore")
            if colon and kind in openers:
                return openers[kind](name)
            return _json(folder / source)
    except _UnusableSourceError as error:
        faults.append(Fault("network.source", str(error)))
        return None


class _UnusableSourceError(Exception):
    """A source does not lead to a network; the message is a sentence."""


def _bundled(name: str) -> Net:
    if name not in bundled_names(".json"):
        known = ", ".join(bundled_names(".json"))
        raise _UnusableSourceError(f'no network "{name}" ships with the project; there is {known}')
    return _json(bundled(f"{name}.json"))


def _simbench(code: str) -> Net:
    if find_spec("simbench") is None:
        raise _UnusableSourceError(
            f'"simbench:{code}" needs the package simbench, which is not installed; '
            "install it (it is among the development tools, `make test` brings it) "
            "or give the path of a pandapower JSON file"
        )
    import simbench  # large; nobody else needs it

    if code not in simbench.collect_all_simbench_codes():
        raise _UnusableSourceError(f'"{code}" is not a simbench code such as 1-LV-semiurb4--0-sw')
    return simbench.get_simbench_net(code)


def _built(name: str) -> Net:
    builder = getattr(pandapower.networks, name, None)
    # The module's namespace also holds what its builders are made with.
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
        net = pp.from_json(str(path))
    # pandapower lets whatever went wrong in its many readers through.
    except Exception as error:
        raise _UnusableSourceError(
            f"{path} cannot be read as pandapower JSON: {_brief(error)}"
        ) from None
    if not isinstance(net, pp.pandapowerNet):
        raise _UnusableSourceError(f"{path} holds no pandapower network")
    return net


def build_network(
    net: Net,
    table: ConnectionTable,
    passive: Literal["none", "as-given"],
    held: Held,
    power_factor: Mapping[str, float],
    name: str,
    faults: list[Fault],
) -> Network | None:
    """Return the network of ``net``, or ``None`` after adding all its faults.

    Customers of an ``asymmetric_load`` table are on their own phases, and so is the network;
    ``held`` is what the contract is about then.
    """
    with _as_faults(faults):
        if table == "asymmetric_load":
            return phases_from_pandapower(net, held=held, power_factor=power_factor, name=name)
        return network_from_pandapower(
            net, connection_points=table, passive=passive, power_factor=power_factor, name=name
        )
    return None


def build_meshed(
    net: Net,
    section: NetworkSection,
    power_factor: Mapping[str, float],
    name: str,
    faults: list[Fault],
) -> tuple[Network | None, tuple[Outage, ...]]:
    """Return the network of ``net`` with its generators, and after each outage that is named.

    The network is ``None``, and without outages, after adding all its faults and theirs.
    """
    with _as_faults(faults):
        network, outages = outages_from_pandapower(
            net,
            section.outages,
            connection_points=section.connection_points,
            passive=section.passive,
            power_factor=power_factor,
            distributed_slack=section.distributed_slack,
        )
        if network.generators is None or find_spec("lightsim2grid") is not None:
            return replace(network, name=name), tuple(outages)
        faults.append(
            Fault(
                "network.model",
                "voltage-controlled generators need the package lightsim2grid, which is not "
                "installed; install the project with its extra meshed",
            )
        )
    return None, ()


@contextmanager
def _as_faults(faults: list[Fault]) -> Iterator[None]:
    """Add whatever is wrong with a net to the faults."""
    try:
        yield
    except NetworkFaults as found:
        faults.extend(found.faults)
    # What pandapower raises on tables that contradict each other; it raises warnings, too.
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, Warning) as error:
        faults.append(Fault("network", f"pandapower cannot model it: {_brief(error)}"))


def open_circuit(source: str, folder: Path, name: str, faults: list[Fault]) -> Network | None:
    """Return the network of an OpenDSS master file, or ``None`` after adding its faults.

    Power factors are left at 1; the customers are known only now.
    """
    path = folder / source
    if not path.is_file():
        faults.append(Fault("network.source", f"there is no file {path}"))
    elif find_spec("opendssdirect") is None:
        faults.append(
            Fault(
                "network.source",
                f'"{source}" needs the package opendssdirect.py, which is not installed; '
                "install the project with its extra opendss",
            )
        )
    else:
        try:
            return network_from_opendss(path, name=name)
        except NetworkFaults as found:
            faults.extend(found.faults)
    return None


def connection_points_of(net: Net, table: str) -> tuple[str, ...]:
    """Return the ids that a network of ``net`` has, or would have without its faults."""
    rows = net[table]
    return tuple(f"{table}:{index}" for index in rows.index[rows.in_service.astype(bool)])


def _brief(error: BaseException) -> str:
    """Return the first line of an error: the rest is for those who program it."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def places_of(net: Net | None) -> dict[str, tuple[float, float]]:
    """Return where the buses of a pandapower net are drawn; empty where not all of them are."""
    if net is None or "geo" not in net.bus:
        return {}
    places = {}
    for index, text in net.bus.geo.items():
        try:
            x, y = json.loads(text)["coordinates"][:2]
            places[f"bus:{index}"] = (float(x), float(y))
        except (TypeError, ValueError, LookupError):  # a place that cannot be read is none
            return {}
    return places
