"""The running exchange of one area: receive, handle, commit, answer.

``service`` is the loop, ``core`` the exchange with its messages.  ``outbox`` holds messages until
the broker has them, ``periodic`` decides what is published by the clock, ``rate_limiter`` bounds
the rate of senders, ``reception_watch`` notices when nothing arrives any more, and
``snapshot_keeper`` decides when the state is kept.  ``settings`` has the sizes and periods of the
loop.
"""
