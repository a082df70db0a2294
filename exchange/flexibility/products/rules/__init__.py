"""Rules that platforms of flexibility add to sessions.

``ceilings``      what groups of resources may change together
``order_times``   how long an offer must have been in the book, and how long it is good
``sharing``       needs that several parties pay, and linked orders
``announcement``  needs that are told to all providers, and who qualifies for each
"""
