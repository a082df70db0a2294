"""Which secure set of envelopes is the fair one.

Read in this order: ``capacity`` (what each connection may do at most and at least), ``fairness``
(what a rule is, progressive filling, plain arrays), ``fair_rules`` (all rules by name),
``allocate`` (filling of robust rows, exact in the AC power flow), ``climbing`` (where filling
does not come to rest) and ``network_grid`` (the exchange's questions, put to a real network).

From the transmission system down: ``operational_graph`` (who is connected to whom), ``boundary``
(what crosses an interface), ``level`` (one operator), ``hierarchy`` (the recursion) and
``contract`` (how two operators agree).

Which switches and taps are best: ``topology`` (radial configurations), ``actions`` (the search),
``radial_bound`` (what refutes configurations) and ``radial_program`` (a bound on all of them).
"""
