"""Events in, messages out: reports, envelopes, depth, tape, statistics, local prices.

``publisher`` folds the event stream into messages; the other modules make its parts.
"""
