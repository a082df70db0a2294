"""Orders, price levels and time priority; knows nothing of networks or money.

:mod:`orderbook.order` has the vocabulary, :mod:`orderbook.book` the book of the exchange.
"""
