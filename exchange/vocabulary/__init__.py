"""The words of the exchange: commands, events, orders, reasons, rules; no behaviour.

``commands`` go in, ``events`` and ``settlement_events`` come out.  ``network_port`` is what the
exchange asks of the network; ``serialization`` writes events as JSON-able data, ``formatting``
writes times and money as text.
"""
