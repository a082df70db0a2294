"""Time-shiftable offers: energy that may begin between two times, in amounts between two profiles.

``flex_offer``     an offer, a schedule of it, and what a schedule costs
``aggregation``    groups of like offers, and the one offer that stands for a group
``joint_profile``  the profile that stands for those of a group
``division``       a schedule of the one offer, divided among its members exactly
``scheduling``     the cheapest starts and powers under limits or along a target
``program``        the mixed-integer program of that choice
``relief``         offers called or left as planned, so that branches are relieved
``shift_market``   flows, needs and a target that bound what is called
``shift_phase``    a phase of a day: aggregates called, schedules divided, members paid
``shift_messages`` what is told in it
"""
