"""The handlers: what the exchange does for each command.

An order passes ``order_requests``, ``admission`` (``condition_checks``, ``holding_checks``,
``risk_checks``) and ``matching`` (``self_trade_prevention``, ``trade_execution``, ``fills``,
``blocked_matches``).  ``session_phases`` opens intervals, changes their phases and closes their
gates.  ``safeguards`` cancels the orders of a participant whose device is lost.
``interface_limits`` and ``buy_back`` apply new limits of the TSO, ``operator_controls``
the controls of the market operator, ``settlement`` the readings of meters.
"""
