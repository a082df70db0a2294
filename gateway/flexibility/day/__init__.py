"""A day of a flexibility market: its file, and what ``flexibility-day`` computes.

``schema``            the file of a day, key by key
``delivery_schema``   its keys about meters and delivery
``units``             times and prices of the file as intervals and ticks
``faults``            what is wrong with a file beyond the types of its keys
``offer_faults``      the same of its offers and contracts
``rules``             what platforms add: places, aggregates, limits of operators, times of orders
``case``              from a file to the day, or all of its faults
``delivery_case``     from a file to its meters and terms of delivery, or their faults
``meter_table``       metered power from a table over time
``delivery_faults``   what is wrong between phases, offers and meters
``result``            the file that ``flexibility-day`` writes
``delivery_result``   its part about orders, deliveries and reports
``running``           what ``flexibility-day`` computes
``delivery_running``  orders, deliveries and reports as records of the result
``shifting``      time-shiftable offers and the phase that calls them
``shift_faults``  what is wrong with those
``records``       what results of several phases have
``shift_result``  the result of the phase that calls time-shiftable offers
"""
