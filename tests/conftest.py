"""Settings every test shares."""

import gateway  # noqa: F401  # sets the BLAS to one thread before NumPy is imported
