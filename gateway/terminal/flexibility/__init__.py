"""Results about local flexibility, as tables in a terminal.

``procurement`` (``procure``), ``flex_market``, ``coordination`` (``coordinate``) and ``day``
(``flexibility-day``) print one kind of result each; ``shifting`` prints one phase of a day,
``year`` a year of days (``flexibility-year``).
"""
