"""All operating points that are possible in one interval, given a box of envelopes.

``points`` holds many points of the box; ``conditions`` explains their coordinates and maps them to
port powers and held voltages; ``slopes`` maps gradients back to these coordinates, and follows them
to vertices, gains and packing coefficients; ``operating_point`` is one point in physical units.
"""
