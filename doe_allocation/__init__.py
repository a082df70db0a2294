"""Which secure set of envelopes is the fair one.

Read in this order: ``capacity`` (what each connection may do at most and at least), ``fairness``
(what a rule is, progressive filling, plain arrays), ``fair_rules`` (all rules by name),
``allocate`` (filling of robust rows, exact in the AC power flow), ``climbing`` (where filling
does not come to rest) and ``network_grid`` (the exchange's questions, put to a real network).

Several operators, from the transmission network to the customer (docs/hierarchy.md):
``operational_graph`` (who is below whom), ``boundary`` (what crosses, and what is said of it),
``nested`` (fairness that reaches customers below), ``level`` (one operator's own network),
``hierarchy`` (the recursion) and ``contract`` (how two operators agree on a band).
"""
