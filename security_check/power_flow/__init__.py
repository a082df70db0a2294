"""Which voltages follow from given powers: batches of AC power flows with exact gradients.

``implicit_zbus`` solves networks whose only held voltages are at the interface (``anderson``
accelerates it); ``newton`` with ``newton_jacobian`` solves those with voltage-controlled
generators.  ``compensating_currents`` stand for impedances within their tolerance.
"""
