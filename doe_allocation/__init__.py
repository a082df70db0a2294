"""Find the secure set of envelopes that is the fair one.

Rooms, from the lowest layer up; a room imports only from rooms above it in this list:

``capacity``         what each connection point may do at most, and its fallback
``fairness``         rules that divide a packing polytope, on plain arrays
``allocation``       these rules on a network's robust rows, exact in the AC power flow
``hierarchy``        several operators, from the transmission network to the customer
``reconfiguration``  the switches and taps under which the smallest envelope is largest
"""
