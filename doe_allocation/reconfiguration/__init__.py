"""Which switches and taps make the smallest envelope largest.

``radial_configurations`` enumerates, ``search`` chooses, ``refutation`` excludes configurations
by proof, ``relaxation`` bounds all of them.  ``pandapower_switching`` reads switches and taps.
"""
