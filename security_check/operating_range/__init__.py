"""Everything that may happen in one interval, given a box of envelopes.

``conditions`` maps points of the box to power-flow inputs, and gradients to slopes; ``points``
holds many such points; ``operating_point`` names one of them in physical units.
"""
