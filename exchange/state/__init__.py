"""The state of the exchange, and the one way to change it: events, applied in order.

``state`` holds everything: sessions (``session``, ``holdings``, ``flexibility``), ``controls``,
``safeguards`` and ``request_answers``.  ``effects`` applies one event (``order_effects``,
``session_effects``, ``flexibility_effects``), ``recording`` makes the events of one command,
``snapshots`` saves and restores, and ``invariants`` checks the whole.
"""
