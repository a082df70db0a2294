"""The client library: what participants and operators program against.

``doe_exchange.client`` has its public names.  ``trading`` is the client of a participant, on
``trading_connection``, which mirrors its orders and positions.  ``roles`` has the clients of DSO,
TSO and meter operator.  All of them are ``requesting`` clients: ``reporting``
connects them, and recovers reports that were lost; ``requests`` says their requests.  ``market``
only reads.  What all know of what is public is in ``area_view``; ``feeds`` hand it on.
``broker_address`` says where to connect, ``mirrors`` has what follows from messages.
"""
