"""Attempts to refute, and to prove, that published envelopes are secure (docs/proof.md).

``adversary``         searches for a point of the envelopes that breaks a limit
``certificate``       the proof of a set of envelopes, with its explanations
``monotonicity``      proofs row by row, from signs of gradients
``gradient_signs``    signs and bounds of rows over a box
``enclosure``         voltages, currents and gradients enclosed over a box
``radial_condition``  signs for all voltages of a radial balanced network
"""
