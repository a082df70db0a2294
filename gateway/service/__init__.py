"""The running exchange of one area: receive, handle, commit, answer.

``service`` is the loop, ``core`` the exchange with its messages.  Messages wait in the ``inbox``
for their turn, within the rates of ``rate_limiter``; ``outbox`` holds those that go out until the
broker has them.  ``periodic`` decides what is published by the clock, ``plausible_clock`` guards
against clocks that jump, ``reception_watch`` notices when nothing arrives any more, and
``silence_watch`` when a guarded device says nothing.  ``snapshot_keeper`` decides when the state is
kept, ``standby`` follows another's journal, ``garbage`` keeps Python's collector from stopping the
loop.  ``inner_requests`` are commands from inside the program.  ``measures`` counts and times what
the exchange does, ``health`` says whether it serves, and ``settings`` has the sizes and periods of
the loop.
"""
