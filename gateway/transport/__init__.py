"""Messages over MQTT: our own session, an embedded broker, and a participant's client.

``mqtt`` is the port.  It makes connections (``mqtt_client``), one after the other, from
``mqtt_settings``, and keeps what is published until it is confirmed (``mqtt_publications``).
``mqtt_packets`` writes the packets of a client, ``mqtt_reader`` reads those of a broker.
``json_listener`` hears JSON, ``participant_client`` sends requests and waits for their reports, and
``session_guard`` has its orders cancelled when its connection is lost.
``embedded_broker`` is for the demo, tests and one machine; ``library_hooks`` looks whether amqtt
calls what it replaces, and ``broker_log`` drops amqtt's noise; its connections are read and
written by ``broker_streams``.
"""
