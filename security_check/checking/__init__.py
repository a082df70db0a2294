"""The security check of trades: headroom, largest secure quantity, verdict, commit.

``check``          the envelopes in force, and the changes of them that are secure
``verdict``        its questions and answers
``linear_rows``    headroom of joint changes, for optimisation
``secants``        linear rows after a change was refused
``tracked_rows``   the rows that a check evaluates at every trade
``survey``         bounds of all other rows since they were last evaluated
``explanations``   rows as verdicts, explanations and bottlenecks
"""
