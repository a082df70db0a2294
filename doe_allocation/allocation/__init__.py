"""Envelopes of one operator's network: a rule of fairness applied to its robust rows.

``ac_filling`` makes the division exact in the AC power flow, ``ac_climbing`` improves it for
rules that maximise something, ``network_grid`` and ``islands_grid`` are the exchange's port to a
network, ``curtailment`` decides who is reduced when limits shrink.
"""
