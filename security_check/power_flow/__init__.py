"""AC power flows of many operating points at once, with exact gradients.

``implicit_zbus`` solves networks whose only held voltages are at the interface (``anderson``
accelerates it where inverters respond); ``newton`` with ``newton_jacobian`` solves networks with
voltage-controlled generators.  ``compensating_currents`` stand for impedances within a tolerance.
"""
