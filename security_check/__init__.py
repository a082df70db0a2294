"""Answer "is this set of envelopes secure, and how much of this trade is?".

Rooms, from the lowest layer up; a room imports only from rooms above it in this list:

``arrays``, ``errors``   array types; faults and errors, as one tree
``model``                the network, its limits, envelopes, outages
``power_flow``           voltages that follow from powers, with gradients
``uncertainty``          deviations of forecasts and impedances
``importers``            networks from pandapower and OpenDSS
``modifications``        inverters, impedance tolerances, reactive freedom added to a network
``operating_range``      all points that an interval's envelopes allow
``monitoring``           the quantities that have limits
``worst_case``           their worst points, as packing rows
``checking``             headroom, verdict and commit of a trade
``verification``         the adversary, and proofs

The package imports nothing of the project, and does no I/O.
"""
