"""The quantities with limits: voltages, currents, unbalance, interface and generators.

``protocol`` is what robust rows need of any set of monitored quantities; ``monitors``,
``generator_rows`` and ``contingencies`` provide it.
"""
