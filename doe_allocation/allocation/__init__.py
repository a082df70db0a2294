"""Envelopes of one network operator: a rule of fairness applied to the robust rows of a network.

``grid``           the port that allocation, verification and reports use
``network_grid``   the grid of one network; ``islands_grid`` of one with separate parts, whose
                   security check is ``islands_check``, each at its own voltage where a limit
                   of power is shared (``separate_sources``)
``linear``         the grid of a lossless linear network, without an AC power flow
``ac_filling``     makes the division exact in the AC power flow (``relinearisation``)
``level_filling``  raises the common level itself where rows curve (``levels``)
``fairness_gap``   the test of a max-min result
``ac_allocation``  the limits found
``ac_climbing``    improves it for rules that maximise a value
``curtailment``    chooses which envelopes are reduced when interface limits shrink
"""
