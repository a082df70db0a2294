"""What a client knows, kept by the messages that it hears; no input, no output.

``reading`` reads messages, ``report_stream`` puts reports in order.  ``own_orders`` and
``own_positions`` follow from reports.  ``public_market`` follows from public messages: ``books``,
``point_envelopes``, and what needs no module of its own.
"""
