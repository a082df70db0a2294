"""A whole market day with embedded servers, and the demo report.

``day`` runs it: ``customers`` with ``trading_agent`` and ``clients`` trade, ``adversary_process``
attacks, ``observer`` counts.  ``summary`` makes the ``report``; ``live_view`` and ``report_tables``
print.
"""
