"""Networks from pandapower, OpenDSS or tables of branches, or every fault of the source.

``pandapower_balanced``   one node for each bus: the three phases are alike
``pandapower_phases``     one node for each phase of each bus
``pandapower_meshed``     one node for each bus, with voltage-controlled generators
``pandapower_outages``    the meshed network, and the network after each outage
``branch_table``          one node for each bus, from tables of pi branches and resources
``opendss``               one node for each conductor
``tap_ranges``            any of these at every combination of tap positions in stated ranges

``pandapower_faults`` and ``pandapower_meshed_faults`` look at the source before any model is
built, so that all of its faults are reported at once: ``pandapower_tables`` knows the tables of a
net, ``pandapower_quantities`` the columns with an effect,
``pandapower_branches`` what the numbers of a branch mean together, and ``pandapower_taps`` the tap
positions that are assumed.  ``pandapower_model`` reads what pandapower built,
``pandapower_ratings`` what lines and transformers may carry.

For OpenDSS the same is done by the room ``opendss_circuit``.
"""

from typing import Any

Net = Any
"""A pandapower net; pandapower publishes no types."""
