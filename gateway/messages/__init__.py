"""The JSON messages of MQTT: topics, requests of participants and operators, reports."""
