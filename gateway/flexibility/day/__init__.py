"""A day of a flexibility market: its file, and what ``flexibility-day`` computes.

``schema``        the file of a day, key by key
``units``         times and prices of the file as intervals and ticks
``faults``        what is wrong with a file beyond the types of its keys
``offer_faults``  the same of its offers and contracts
``places``        zones on the map, and where resources are
``aggregates``    resources that are offered together
``operator_limits``  what traffic light and topological matrix leave to resources
``order_faults``  what is wrong with times of offers, announcements and shares
``case``          from a file to the day, or all of its faults
``result``        the file that ``flexibility-day`` writes
``running``       what ``flexibility-day`` computes
"""
