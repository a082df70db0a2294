"""Which secure set of envelopes is the fair one.

Read in this order: ``capacity`` (what each connection may do at most and at least), ``fairness``
(what a rule is, progressive filling, plain arrays), ``fair_rules`` (all rules by name),
``allocate`` (filling of robust rows, exact in the AC power flow), ``climbing`` (where filling
does not come to rest) and ``network_grid`` (the exchange's questions, put to a real network).
"""
