"""Messages over MQTT: the connection, a broker inside the program, a participant's client."""
