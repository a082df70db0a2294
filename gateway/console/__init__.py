"""Trading and watching in a terminal, on top of the client library.

``broker_options`` says where to connect, ``lines`` reads lines of the keyboard or a script and
``line_commands`` what they say; ``trade`` carries it out.  ``watch`` shows the market.
"""
