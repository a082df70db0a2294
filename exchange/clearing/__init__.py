"""Which trades of one market raise welfare most, under robust rows; knows no sessions.

``problem`` has the words, ``order_columns`` and ``lot_rows`` the data.  ``welfare_clearing`` asks
in turn: ``price_screen`` (can anything be gained?), ``merit_order`` (does the network bind?), and
``lot_program`` (``linear_program``, ``conditional``, ``unfillable``, ``rounding`` with
``integer_points``, ``time_priority``).  ``payments`` shares out what a clearing gains;
``work_budget`` bounds the search, ``highs`` is the solver.
"""
