"""Is this set of envelopes secure, and how much of this trade is?

Read in this order: ``network`` (what there is), ``limits`` (what must hold), ``envelope``
(what customers may do), ``power_flow`` (what then happens), ``robust_rows`` (the worst of it
as packing rows), ``check`` (headroom, largest secure quantity, verdict) and ``adversary``
(the attempt to prove all of that wrong).  ``from_pandapower`` builds networks.

The package imports nothing of the project, and does no I/O.
"""
