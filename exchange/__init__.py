"""Take commands, give events: the life of an order, in the order of these rooms.

From the lowest layer up; a room imports only from rooms above it in this list:

``vocabulary``  commands, events, orders, reasons, rules
``clearing``    which trades raise welfare most, under the network's robust rows
``accounts``    the ledger, statements, metered intervals
``state``       everything that is remembered, changed by events alone
``market``      the open orders of each interval against its network
``handlers``    what each command does
``flexibility`` the local flexibility market
``engine``      :class:`Exchange`: one command in, its events out

Read ``vocabulary.commands`` and ``vocabulary.events`` first, then ``engine``.
"""
