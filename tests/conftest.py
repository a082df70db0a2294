"""Settings every test shares."""

import os

from hypothesis import settings

import gateway  # noqa: F401  # sets the BLAS to one thread before NumPy is imported

# Continuous integration judges a change, not luck: there, each property is tried on the same
# examples every time.  Everywhere else new ones are drawn at every run.
settings.register_profile("ci", derandomize=True, deadline=None)
if os.environ.get("CI"):
    settings.load_profile("ci")
