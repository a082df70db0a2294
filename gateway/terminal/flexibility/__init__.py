"""Results about local flexibility, as tables in a terminal.

``procurement`` (``procure``), ``flex_market``, ``coordination`` (``coordinate``) and ``day``
(``flexibility-day``) print one kind of result each; ``delivery`` prints the orders, deliveries and
reports of a day, ``shifting`` one phase of it, ``year`` a year of days (``flexibility-year``).
"""
