"""A day of a flexibility market: its file, and what ``flexibility-day`` computes.

``schema``        the file of a day, key by key
``units``         times and prices of the file as intervals and ticks
``faults``        what is wrong with a file beyond the types of its keys
``offer_faults``  the same of its offers and contracts
``rules``         what platforms add: places, aggregates, limits of operators, times of orders
``delivery``      orders, meters and deliveries
``case``          from a file to the day, or all of its faults
``result``        the file that ``flexibility-day`` writes
``running``       what ``flexibility-day`` computes
``shifting``      time-shiftable offers and the phase that calls them
``shift_faults``  what is wrong with those
``records``       what results of several phases have
``shift_result``  the result of the phase that calls time-shiftable offers
"""
