"""AC power flows of many operating points at once, with exact gradients.

``operating_points``       the solutions
``implicit_zbus``          networks whose only held voltages are at the interface
``near_collapse``          points at which its iteration does not contract, by Newton's method
``anderson``               its acceleration, where inverters respond to their voltage
``compensating_currents``  ports that stand for impedances within a tolerance
``newton``                 networks with voltage-controlled generators (``newton_jacobian``)
"""
