"""A scenario file: its sections, and the scenario that is built from them.

``schema`` defines the file section by section, and ``loading`` builds a ``scenario`` from it or
raises all of its faults; ``stated`` holds the sections while it does.  Each other module builds
one section: ``network_source`` and ``network_states`` build ``[network]``, and the room ``linear``
one of kind ``linear``; ``uncertainty`` and ``forecasts`` ``[uncertainty]``,
``customers`` ``[capacity]`` and ``[participants]``, and the room ``profiles`` ``[profiles]``;
``inverters``, ``intervals``, ``market``, ``fairness``, ``perimeters`` and ``actions`` build the
sections of their names.
``element_tables`` is for sections that give each element a value.
"""
