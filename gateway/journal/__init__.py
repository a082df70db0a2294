"""Durable entries: the journal in Redis, in files, and its replay.

``codec`` writes an entry as a line of JSON.  ``redis_journal`` is the port on Redis streams,
``embedded_redis`` the server for one machine.  ``files`` reads journals from files or Redis, and
``replay`` rebuilds the state from them.
"""
