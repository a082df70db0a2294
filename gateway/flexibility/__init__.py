"""Flexibility: files of cases, and what their commands compute.

``case_schema``         the file of a procurement case, key by key
``case_loading``        from a file to the problem, or all of its faults
``day_loading``         the same with the intervals of a day, and terms that couple them
``needs``               limits that are exceeded without activation
``procurement_result``  the file that ``procure`` writes
``procurement``         what ``procure`` computes
``market_schema``       the file of a flexibility market case, key by key
``market_case``         from a file to network, set points and orders, or all of its faults
``market_result``       the file that ``flex-market`` writes
``flex_market``         what ``flex-market`` computes
``coordination_schema`` the file of a coordination case, key by key
``coordination_case``   from a file to the AC model with offers and needs, or all of its faults
``coordination_result`` the file that ``coordinate`` writes
``coordination``        what ``coordinate`` computes
``day``                 the days of flexibility markets that ``flexibility-day`` runs
``year``                the same market over a year, which ``flexibility-year`` runs
"""
