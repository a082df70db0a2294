"""Fair division of a packing polytope ``A u <= b`` with ``A >= 0``; knows no network.

``rule`` says what a rule is; ``progressive_filling``, ``linear_rules`` and ``alpha`` (with
``alpha_newton`` and ``alpha_cone``) are the rules; ``principles`` lists them by name.  ``figures``
compares allocations, ``over_time`` carries fairness from interval to interval.
"""
