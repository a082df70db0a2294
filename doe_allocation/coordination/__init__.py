"""Schemes in which a TSO and DSOs buy flexibility: who clears what, seeing what.

From the model to the result (docs/coordination.md):

``problem``           offers and needs, and all operators' limits around an operating point
``program``           the linear programme of every clearing; limits give way at a high price
``clearing``          one clearing over chosen offers, limits and needs, and whom it is for
``area``              a DSO's side: answers to prices, cost curves, boundaries of offers
``interface_market``  the TSO's side: its own offers, and points that DSOs state
``messages``          what one operator tells another, in bytes
``plan``              what a scheme decides
``joint_schemes``     schemes of one clearing: centralised, common, integrated, distributed
``separate_schemes``  schemes in which each operator clears by itself
``voltage_stage``     the third stage of two-stage: the voltage at interfaces
``shortfall``         what the offers cannot do, and what is missing where
``decentralised``     the common clearing by an exchange of prices and points
``ac_model``          the joint AC model of a hierarchy with a market in it
``settlement``        whole watts, and who pays whom
``coordination``      a scheme, exact in the AC power flow
"""
