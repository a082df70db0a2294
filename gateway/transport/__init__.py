"""Messages over MQTT: connection, embedded broker, and a participant's client.

``mqtt`` is the port, on the client ``mqtt_client`` with manual acknowledgements.
``embedded_broker`` is for the demo, tests and one machine; ``participant_client`` sends requests
and waits for their reports.  ``library_hooks`` looks whether amqtt and aiomqtt call what these
replace in them.
"""
