"""Messages over MQTT: connection, embedded broker, and a participant's client."""
