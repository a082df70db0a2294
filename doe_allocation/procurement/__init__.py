"""Robust procurement: the cheapest activation of offers under which all limits hold.

Limits of voltages and currents hold for every deviation of a set (box, budget or ellipsoid).

``choices``       directions, objectives, shapes
``problem``       offers, limits and deviations, on the network of the security check
``linear_model``  voltages and currents linear in powers, with closed-form margins
``polygon``       planes inside a circle
``quantities``    what is limited, and its linear rows
``coupling``      terms over time, which couple the intervals of a day
``program``       the linear programme over offers of all intervals, and prices of limits
``clearing``      rows of planes, also refined ones (``cones``: the circle itself)
``ac_rows``       rows of exact AC gradients, with the adversary
``cutting``       programmes and rows in turn, until the rows are right
``excess``        relaxed programmes: the least excess, the least that is missing
``shortfall``     what cannot be relieved, and what is missing
``assessment``    voltages and currents of an activation, by AC power flow and by the linear model
``procurement``   all of it, in order: start there

Of the security check it uses the network, the power flow, the monitored rows with their exact
gradients, the ascent to worst points, the sets of deviations and the adversary.  Its own is the
linear current model at fixed voltages, because that is the published model, and because a circle
cut by planes is linear where rows of magnitudes are only so at one point.
"""
