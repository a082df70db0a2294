"""The open orders of each interval against its network: what trades next.

``interval_markets`` keeps one ``interval_market`` for each interval in step with events;
``confirmation`` has a proposed clearing confirmed by the AC power flow; ``joint_orders`` brings
intervals together, where ``joint_order_screen`` cannot exclude it.  ``failure_isolation`` finds
the order with which a clearing fails.
"""
