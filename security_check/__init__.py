"""The answer to "is this set of envelopes secure, and how much of this trade is?".

Read in this order: ``network`` (what there is), ``limits`` (what must hold), ``envelope``
(what customers may do), ``power_flow`` (what then happens), ``monitors`` (what is watched),
``conditions`` and ``worst_points`` (what an interval lets happen), ``packing`` and ``robust_rows``
(the worst of it as packing rows), ``watch`` and ``check`` (headroom, largest secure quantity,
verdict), and ``adversary`` (the attempt to prove all of that wrong).  ``from_pandapower`` builds
networks.

Meshed networks with voltage-controlled generators: ``generators``, ``controlled_flow`` and
``controlled_jacobian`` (what happens), ``generator_rows`` (what generators must keep).  Outages:
``outages`` and ``cases`` (the rows of several states at once).  ``meshed_from_pandapower`` and
``outages_from_pandapower`` build their networks.

The package imports nothing of the project, and does no I/O.
"""
