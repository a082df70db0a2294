"""Attempts to refute or to prove that published envelopes are secure.

``adversary`` attacks; ``certificate`` joins the proofs (``monotonicity``, ``enclosure``,
``gradient_signs``, ``radial_condition``).
"""
