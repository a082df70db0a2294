"""The JSON messages of MQTT.

``topics`` names and guards the topics.  ``requests``, ``operator_requests`` and
``safeguard_requests`` read messages; ``participant_reports``, ``area_state`` and ``market_data``
are what the exchange publishes, all ``outgoing`` messages.  ``catalogue`` lists every topic with
its messages.
"""
