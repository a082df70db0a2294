"""Build a network from pandapower or OpenDSS, or name every fault of the source.

One module for each kind of source; ``*_faults`` and ``*_elements`` look at the source before any
model is built.
"""
