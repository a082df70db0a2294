"""Fair division of a packing polytope ``A u <= b`` with ``A >= 0``, on plain arrays.

``rule``                 the protocol of a rule, with an example of a new one
``progressive_filling``  max-min and its relatives; ``linear_rules`` widths and the maximum sum
``alpha``                alpha-fairness, solved by ``alpha_newton`` and ``alpha_cone``
``packing_program``      the polytope in numbers that solvers like, and linear programs over it
``principles``           the rules by name, as scenarios choose them
``figures``              compares allocations; ``over_time`` couples intervals by their cuts
"""
