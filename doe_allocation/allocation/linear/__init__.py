"""The grid of a lossless linear network: exact rows instead of an AC power flow.

``operation``  a linear network with connection points at its buses, and what its buses inject
``flow_rows``  the largest flow of each branch over a box of envelopes, as a row of limits
``check``      the envelopes in force, and the changes of them that are secure
``adversary``  looks for a point of the envelopes that breaks a limit, without these rows
``grid``       allocates, reallocates, resumes, proves and attacks envelopes
"""
