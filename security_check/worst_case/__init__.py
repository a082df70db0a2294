"""The worst point of each monitored quantity in a box of envelopes, as packing rows.

``robust_rows`` joins the parts: ``starting_points`` begin, ``ascent`` climbs along
``coordinates``, ``search`` looks for worst points that were missed, ``packing_rows`` hold the
result and ``watched_rows`` evaluate it at few points.
"""
