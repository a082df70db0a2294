"""Envelopes from the uppermost network operator down to every customer (docs/hierarchy.md).

In the order of the calculation; "operator" means a network operator throughout:

``operators``            the operational graph: parents, children, their connection points
``interface_statement``  the numbers that a child states about its interface
``customer_classes``     fairness that reaches the customers below a child
``operator_level``       the step of one operator, which uses its own network only
``allocation``           the recursion: statements upwards, contracts downwards
``negotiation``          the contracts that two operators could agree on, and the default choice
``joint_model``          all networks as one AC model, in which an adversary attacks the result
"""
