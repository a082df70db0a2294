"""The words of the exchange: commands, events, orders, reasons, rules; no behaviour.

``commands`` go in, ``events``, ``settlement_events``, ``safeguard_events``, ``recovery_events`` and
``flexibility_events`` come out. ``orders`` has the terms of an order and the open order,
``flexibility`` the same of flexibility, ``reasons`` the closed lists of reasons, ``rules`` what an
area's market agrees on. ``network_port`` is the port to the network.
``serialization`` writes events as JSON-able data, ``versions`` counts the forms in which they are
kept, ``formatting`` writes times and money as text.
"""
