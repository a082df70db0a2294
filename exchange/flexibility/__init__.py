"""The local flexibility market: located offers and requests, matched within network limits.

``flex_order``          an order, and what came of it
``robust_flows``        flows of a linear network for every subset of conditional requests
``flexibility_market``  books and flows; matching of pairs by price and time
``matching_program``    the matching of most welfare
``welfare_market``      a market that matches so at each order
``products``            products, forward contracts and spot sessions: the phases of a day
``measurement``         orders, deliveries, settlement and report of a day
``largest_remainder``   whole amounts divided in proportion
``settlement``          baselines, ordered profiles, delivery, and the entries of the ledger
``flex_offers``         time-shiftable offers: aggregated, divided again, scheduled

The room ``live`` takes the orders of the exchange to these markets.
"""
