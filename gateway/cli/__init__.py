"""The commands: each reads its arguments, calls a run, and prints or draws the result.

``main`` is the program with all commands, ``app`` has what they share, ``event_loop`` runs those
that wait for servers.  ``envelopes`` has ``allocate`` and ``verify``; ``market`` ``simulate``,
``report``, ``demo``, ``replay`` and ``statements``; ``serving`` ``serve`` and ``accept-loss``;
``trading`` ``trade`` and ``watch``; ``hierarchy`` also ``contract``.  ``access``, ``fairness``,
``plot``, ``operator_outputs`` (``outputs``), ``procurement`` (``procure``), ``flex_market``,
``coordination`` (``coordinate``) and ``reconfiguration`` (``topology``) have one command each.
"""
