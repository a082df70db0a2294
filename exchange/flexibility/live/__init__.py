"""The flexibility market of the exchange: its orders come as commands and lead to events.

``requests``  takes an order, or refuses it, and lets it match
``checks``    why an order is refused
``flows``     the flows of an interval, with its envelopes and all that was matched
"""
