"""The network, its limits and its envelopes, in per unit.

Read ``network_elements`` and ``network`` first (a :class:`Network` validates itself when it is
constructed), then ``limits`` (what must hold) and ``envelope`` (what customers may do).
``generators``, ``inverter_response``, ``outage`` and ``islands`` describe what some networks have.
``element`` builds and reads the names of elements in results.
"""
