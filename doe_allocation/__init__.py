"""Which secure set of envelopes is the fair one.

Read in this order: ``capacity`` (what each connection may do at most and at least), ``fairness``
(progressive filling, plain arrays), ``allocate`` (filling of robust rows, exact in the AC power
flow) and ``network_grid`` (the exchange's questions, put to a real network).

Which switches and taps are best: ``topology`` (radial configurations), ``actions`` (the search),
``radial_bound`` (what refutes configurations) and ``radial_program`` (a bound on all of them).
"""
