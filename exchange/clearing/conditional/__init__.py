"""Blocks, all-or-none and minimum quantities: which of them a clearing takes."""
