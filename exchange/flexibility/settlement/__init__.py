"""What was ordered, what would have been without it, what was delivered, and what that costs.

``records``     what is known of a resource: metered days, activations, nominations
``baselines``   what a resource would have done without activation
``activation``  the ordered profile: notice, ramp, hold, ramp back
``delivery``    metered against baseline, in the ordered direction
``amounts``     money of exact quantities, rounded once
``agreement``   what was bought, by whom, and what short delivery costs
``settlement``  the entries of the ledger, each with its numbers
"""
