"""All operators' networks as one AC model, and the attack on their agreed envelopes.

``members`` (the operators with their nets) are joined by ``pandapower_net``; ``newton`` solves the
power flow, ``quantities`` (with ``interface_power``) lists the limited quantities, ``attack`` is
the adversary and ``check`` the verdict.
"""
