"""Commands in, events out: sessions and gates, holdings, clearing, settlement.

Read :mod:`exchange.commands` and :mod:`exchange.events` first, then :mod:`exchange.engine`, the
life of an order on one page, and follow its imports from there.
"""
