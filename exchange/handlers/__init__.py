"""What each command does, once it has reached the exchange.

An order passes ``order_requests``, ``admission`` (``condition_checks``, ``risk_checks``),
``matching`` (``self_trade_prevention``, ``fills``).  ``session_phases`` opens, changes and closes
intervals, ``interface_limits`` and ``buy_back`` apply new limits of the TSO,
``operator_controls`` what the operator sets, ``settlement`` what is metered.
"""
