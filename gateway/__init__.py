"""Every byte that enters or leaves: MQTT, Redis, files, the command line."""
