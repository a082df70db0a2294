"""The open orders of each interval against its network: which clearing comes next.

``interval_markets`` follows events and finds the next clearing; ``open_markets`` builds the
``interval_market`` of each interval, with a ``market_program`` of its orders.  ``confirmation`` has
an optimum confirmed by AC power flow.  ``joint_orders`` connect intervals, unless
``joint_order_screen`` proves that they do not trade.  ``local_prices`` explains prices,
``failure_isolation`` finds the order with which a clearing fails, and ``invariants`` checks that
nothing profitable is left.  ``matched_flexibility`` gives an interval the network that has what
was matched there.
"""
