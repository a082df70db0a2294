"""Durable entries: the journal in Redis, in files, and its replay.

``codec`` writes an entry as a line of JSON, ``chain`` binds it to those before it.
``redis_journal`` is the port on Redis streams: ``scripts`` are its writes, ``entry_stream`` reads,
``redis_link`` is its connection, ``server_checks`` the settings that the server must have.
``lease_keeper`` keeps a writer's lease, ``follower`` reads without one.  ``members`` says which
processes share areas.
``witness`` is a second place that knows the journal's end, ``lost_entries`` compares both.
The room ``snapshots`` keeps the state; old entries move to the file of ``archive``.
``embedded_redis`` is the server for one machine.  ``files`` reads journals from files or Redis, and
``replay`` rebuilds the state from them.
"""
