"""The JSON messages of MQTT.

``topics`` names and guards the topics.  ``requests``, ``operator_requests`` and
``safeguard_requests`` read messages, ``queries`` those that ask; ``participant_reports``,
``area_state``, ``market_data`` and ``answers`` are what the exchange publishes, all ``outgoing``
messages.  ``flexibility`` has both for the flexibility market.  ``catalogue`` lists every topic
with its messages.
"""
