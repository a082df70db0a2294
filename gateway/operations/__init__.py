"""What an operator needs around a running exchange.

``serve_settings`` has its settings from environment, file and options, ``logs`` the form of its
log, and ``endpoint`` its health and its measures over HTTP.  ``accounts`` says who may connect, and
``mosquitto_access`` writes that for mosquitto.  ``server_places`` opens broker and journal.
"""
