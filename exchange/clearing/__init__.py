"""Which trades of a market raise welfare most under robust rows; knows no sessions.

``problem`` defines the terms; ``program_orders``, ``order_columns`` and ``lot_rows`` hold the data.
``welfare_clearing`` is the entrance.  It uses in turn ``price_screen`` (can anything trade?),
``merit_order`` (does the network bind?) and ``lot_program``, which solves the linear program
(``linear``), chooses conditional orders (``conditional``), rounds to whole lots (``rounding``,
``integer_points``) and leaves out ``unfillable`` orders.  A result becomes a ``proposal``;
``payments`` shares out its gain.  ``work_budget`` bounds the search, ``highs`` is the solver.
"""
