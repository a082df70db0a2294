"""Find the secure set of envelopes that is the fair one.

Rooms, from the lowest layer up; a room imports only from rooms above it in this list:

``capacity``         the largest limits of each connection point, and its fallback limits
``fairness``         rules that divide a packing polytope, on plain arrays
``allocation``       these rules on a network's robust rows, exact in the AC power flow
``hierarchy``        several network operators, from the transmission network to the customer
``procurement``      robust procurement: the cheapest flexibility with which all limits hold
``coordination``     schemes in which TSO and DSOs buy flexibility, on a hierarchy's joint model
``reconfiguration``  the switches and taps under which the smallest envelope is largest

Start at ``allocation.grid``, the port to a grid, and at ``fairness.rule``, which
shows how to replace the rule of fairness.
"""
