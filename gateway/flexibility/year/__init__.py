"""The same flexibility market over a year, with a growing share of renewable energy.

``schema``    the file of a year, key by key
``profiles``  loads and renewable energy over the year: from a table, or by a formula
``faults``    what is wrong with a file beyond the types of its keys
``case``      from a file to the days of each share, or all of its faults
``days``      what a day costs and leaves, as a row
``table``     the rows of all days in a file that a killed run leaves whole
``running``   the run of a year, and its totals
``result``    the file of the totals
"""
