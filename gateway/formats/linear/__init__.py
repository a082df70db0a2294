"""Linear networks in files: the entries that cases and scenarios share, and their faults.

``entries``   buses, branches and set points, key by key
``networks``  from entries to the network, or all of its faults
"""
