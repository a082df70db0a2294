"""The answer to "is this set of envelopes secure, and how much of this trade is?".

Read in this order: ``network`` (what there is), ``limits`` (what must hold), ``envelope``
(what customers may do), ``power_flow`` (what then happens), ``monitors`` (what is watched),
``worst_points``, ``packing`` and ``robust_rows`` (the worst of it as packing rows), ``watch`` and
``check`` (headroom, largest secure quantity, verdict), and ``adversary`` (the attempt to prove
all of that wrong).  ``from_pandapower`` builds networks.

The package imports nothing of the project, and does no I/O.
"""
