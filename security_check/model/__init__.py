"""The network, its limits and its envelopes, in per unit.

Read ``network_elements`` and ``network`` first (a :class:`Network` validates itself when it is
constructed), then ``limits`` and ``envelope``.
``generators``, ``inverter_response``, ``network_state`` and ``islands`` are parts of some networks
only; ``linear_network`` is a network without AC, for flexibility markets.  ``element_ids`` builds
and reads the ids of elements, ``element`` their names in a state.
"""
