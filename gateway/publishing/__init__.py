"""Events in, messages out.

``publisher`` folds the event stream into messages.  Its parts are ``envelopes``,
``participant_reports``, ``session_state``, ``depth``, and ``market_data`` with ``statistics`` and
``trade_prints``; ``flexibility`` is what is said of that market; ``kept_reports`` are the newest
reports.  ``answers`` answers queries, with the entries of ``answer_entries``.
"""
