"""Settings every test shares."""

import os

import pytest
from hypothesis import HealthCheck, settings
from sampling import FAST

import gateway  # noqa: F401  # sets the BLAS to one thread before NumPy is imported

# Nothing is timed inside a test, neither an example nor how long it takes to draw one: how busy
# the machine is says nothing about the code.  Every run draws new examples, as a property that
# holds for all of them should bear.
settings.register_profile(
    "drawn", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
# Continuous integration judges a change, not luck: there, each property is tried on the same
# examples every time, made from the test itself; none are remembered from runs before.  What a
# run elsewhere finds is mended and kept as an explicit example, which is tried everywhere.
# Tests with settings of their own inherit the rest from here, since this file is read first.
settings.register_profile("ci", settings.get_profile("drawn"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "drawn")


def pytest_configure(config: pytest.Config) -> None:
    """Tell tests, before they are read, whether slow ones are left out."""
    if config.option.markexpr == "not slow":
        os.environ[FAST] = "1"
    else:
        os.environ.pop(FAST, None)
