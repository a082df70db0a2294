"""Results for people, as tables in a terminal.

``console`` has what all commands share: tables, faults, exit codes.  Each other module prints one
kind of result: ``envelopes`` (with verdicts), ``folder``, ``fairness``, ``operator_outputs``,
``reconfiguration``, ``hierarchy``, ``contract_curve``, ``simulation``, ``market_report``,
``statements``, ``replay`` and ``trading``, which has what clients of a market know.
``flexibility`` has those of the commands about local flexibility.
"""
