"""The quantities with limits: voltages, currents, unbalance, interface and generators.

``protocol``          the interface of every set of monitored quantities
``row_kinds``         the kinds of rows, and the rows of a network
``row_limits``        the limits of all rows in one interval
``phasors``           monitored voltages and currents, linear in node voltages
``directions``        the directions in which currents and unbalance are watched
``monitors``          values and gradients of a network's rows
``row_bounds``        bounds of rows without a power flow
``generator_rows``    rows of networks with voltage-controlled generators
``case_monitors``     rows of a network in several states, as one set (``case_power_flow``)
"""
