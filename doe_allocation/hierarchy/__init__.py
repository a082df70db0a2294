"""Envelopes from the uppermost operator down to every customer (docs/hierarchy.md).

``operators`` says who is below whom, ``interface_statement`` what one tells the other,
``customer_classes`` makes division fair across levels, ``operator_level`` is one operator's step,
``allocation`` the recursion and ``negotiation`` the choice of a contract.  ``joint_model`` joins
all networks into one AC model and attacks the result.
"""
