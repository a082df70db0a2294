"""All operators' networks as one AC model, and the attack on their agreed envelopes.

``members`` (the operators with their nets) are joined by ``pandapower_net``; ``newton`` solves the
power flow, ``interface_power`` and ``quantities`` say what must keep which limits, ``attack`` is
the adversary and ``check`` the verdict.
"""
