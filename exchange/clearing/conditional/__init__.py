"""Blocks, all-or-none orders and minimum quantities: which of them trade in a clearing.

``choice`` is the entrance; ``bounds`` narrows what is open, ``branch_and_bound`` and then
``mixed_integer`` decide the rest.
"""
