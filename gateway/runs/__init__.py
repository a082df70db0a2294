"""The computation of each command; nothing here writes to a terminal.

``allocation`` (of a folder: the room ``folder``; its certificate: ``certification``),
``verification`` (its result: ``verdict_file``), ``fairness_comparison``, ``operator_outputs``
(``outputs``), ``reconfiguration`` (``topology``), ``statements`` and ``journal_loss``
(``accept-loss``) are one command each; ``serve`` has a room of its own, ``gateway.installation``.
``unsecured`` records an interval that cannot be secured, for ``allocation`` and ``simulation``.
``simulation`` runs a file of orders, and ``result_file`` is its result.
``market_report`` judges it, with the ``clairvoyant`` optimum of all ``submitted_orders``.
"""
