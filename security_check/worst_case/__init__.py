"""The worst point of each monitored quantity in a box of envelopes, as packing rows.

``row_problem``       rows, limits and conditions; power flows of rows at their own points
``ascent``            from a starting point to a local maximum (``band``, ``coordinates``,
                      ``quadratic_model``)
``packing_rows``      linear rows at worst points
``robust_rows``       builds packing rows, and measures violations
``search``            worst points that were missed (``starting_points``, ``corners``)
``watched_rows``      rows at few points, for the check of trades
"""
