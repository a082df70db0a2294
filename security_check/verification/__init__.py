"""Attempts to refute, and to prove, that published envelopes are secure (docs/proof.md).

``adversary``         searches for a point of the envelopes that breaks a limit
``state_rows``        the rows of each state of a network on its own
``certificate``       the proof of a set of envelopes, with its explanations
``monotonicity``      proofs row by row, from signs of gradients
``gradient_signs``    signs and bounds of rows over a box
``enclosure``         voltages, currents and gradients enclosed over a box
``solution_boxes``    voltages enclosed in larger boxes, preconditioned at the centre
``solution_cover``    a box covered by enclosed ones, whose solutions are connected
``row_curvature``     values and first and second derivatives of rows over enclosed boxes
``box_steps``         the steps that replace a box by parts of it
``branch_and_bound``  rows bounded on parts of a box, or a breach found
``splitting``         proofs by covering and splitting, for rows that signs do not prove
``proof_document``    the proof as a document that others can check
``radial_condition``  signs for all voltages of a radial balanced network
"""
