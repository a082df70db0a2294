"""The network, its power flow and the security check of envelopes and trades.

Rooms, from the lowest layer up; a room imports only from rooms above it in this list:

``arrays``, ``errors``   array types; faults and errors, as one tree
``model``                the network, its limits, envelopes, states, names of elements
``power_flow``           AC power flows in batches, with exact gradients
``uncertainty``          deviations of forecasts and impedances
``importers``            networks from pandapower and OpenDSS, or the faults of the source
``modifications``        a network with inverters, impedance tolerances, free reactive power
``operating_range``      all points that an interval's envelopes allow
``monitoring``           the quantities that have limits: their values, gradients, bounds
``worst_case``           their worst points, as packing rows
``checking``             headroom, verdict and commit of a trade
``verification``         the adversary, and proofs

The package imports nothing of the project, and does no I/O.
"""
