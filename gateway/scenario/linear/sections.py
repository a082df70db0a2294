"""What a scenario with a linear network must not state: it has no voltages and no reactive power.

The band of voltages in ``[interface]``, which every scenario has, is without effect.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from security_check.errors import Fault
from security_check.model.limits import InterfaceLimits

_WITHOUT_MEANING = {
    "limits": "a linear network has no voltages to limit",
    "inverters": "a linear network has no voltages to respond to",
    "uncertainty": "uncertain powers and impedances need a network with AC power flow",
    "actions": "switching and taps need a network with AC power flow",
}
_OF_KIND = ("kind", "source")
_REACTIVE = ("power_factor", "cone_power_factor", "reactive_min_var", "reactive_max_var")
_OF_CONTRACT = ("unbalance_pu", "reactive_min_var", "reactive_max_var")


def faults_of_sections(
    content: Mapping[str, Any], contracts: Sequence[InterfaceLimits]
) -> Iterator[Fault]:
    """Yield a fault for each section and entry that has no meaning for a linear network.

    Parameters
    ----------
    content
        The sections as written in the file.
    contracts
        The contract of every interval.
    """
    for name, detail in _WITHOUT_MEANING.items():
        if name in content:
            yield Fault(name, f'network.kind is "linear": {detail}')
    for key in content.get("network", {}):
        if key not in _OF_KIND:
            detail = 'network.kind is "linear", which takes source and nothing else'
            yield Fault(f"network.{key}", detail)
    capacity = content.get("capacity", {})
    for key in _REACTIVE:
        if isinstance(capacity, Mapping) and key in capacity:
            detail = 'network.kind is "linear": a linear network has no reactive power'
            yield Fault(f"capacity.{key}", detail)
    for key in _OF_CONTRACT:
        if any(getattr(each, key) is not None for each in contracts):
            what = "phases" if key == "unbalance_pu" else "reactive power"
            yield Fault(f"interface.{key}", f'network.kind is "linear", without {what}')
