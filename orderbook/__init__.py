"""Orders, price levels and time priority; knows nothing of networks or money.

:mod:`orderbook.order` has the words, :mod:`orderbook.book` the book the exchange runs on.
"""
