"""Products and phases of the flexibility market: who qualifies, contracts, spot sessions.

From the words to a day:

``vocabulary``      parties, resources, products, needs, offers, contracts
``qualification``   which resources qualify for a product, why not, and how much competition
``acceptance``      the program of every clearing: which watts of which bid serve which want
``forward``         contracts at least cost of availability and expected utilisation
``obligation``      offers put in for contracts, and what is withheld
``sessions``        the rules of a spot session, the network, and what is left of offers and needs
``session_market``  offers and needs of a session as a program
``left_over``       why something of an offer was not taken
``spot``            a session cleared, priced and explained
``network_needs``   needs found in a forecast of the network
``payments``        contracts, activations and penalties as entries of the ledger
``messages``        what parties tell each other
``rules``           what platforms add: ceilings, times of offers, shared needs, announcements
``flex_day``        a day as it is configured, and what its phases lead to
``day``             the phases of a day, one after the other
"""
