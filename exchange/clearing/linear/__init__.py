"""The linear program: the optimum in fractions of lots, without conditions.

``linear_program`` solves it; ``restricted_program`` has the columns and rows that are loaded in the
solver; ``time_priority`` chooses among several optima.
"""
