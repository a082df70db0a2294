"""Settings every test shares."""

import copy
import os
from collections.abc import Iterator
from typing import Any

import pandapower as pp
import pytest
from hypothesis import HealthCheck, settings
from sampling import FAST, SEED, examples

import gateway  # noqa: F401  # sets the BLAS to one thread before NumPy is imported

# Nothing is timed inside a test, neither an example nor how long it takes to draw one: how busy
# the machine is says nothing about the code.  Tests with settings of their own inherit the rest
# from here, since this file is read first.
settings.register_profile(
    "drawn", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("fixed", settings.get_profile("drawn"), derandomize=True)
settings.load_profile("drawn")


def pytest_configure(config: pytest.Config) -> None:
    """Tell tests, before they are read, which cases to take, and whether slow ones are left out.

    `make test` passes ``--hypothesis-seed``: every commit is tried on examples of its own, and on
    the same again when the run is repeated.  What a run finds is mended and kept as an explicit
    example, which is tried everywhere.  Without the option, continuous integration draws what
    follows from each test's name, always the same.
    """
    seed = str(config.getoption("--hypothesis-seed"))
    if os.environ.get("CI") and seed == "None":
        settings.load_profile("fixed")
    os.environ[SEED] = seed if seed.isdecimal() else "0"
    if config.option.markexpr == "not slow":
        os.environ[FAST] = "1"
        settings.register_profile("fast", settings(), max_examples=examples(100))
        settings.load_profile("fast")
    else:
        os.environ.pop(FAST, None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let slow tests begin first, each by itself; the others of a module stay together.

    Tests of a module share what took long to set up, so one process runs them.  A slow test takes
    longer than such a set-up, and one that begins last keeps a process busy while others wait.
    """
    if not config.pluginmanager.hasplugin("xdist"):
        return
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    for item in items:
        if item.get_closest_marker("slow") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.name))


@pytest.fixture(scope="session", autouse=True)
def empty_networks_made_once() -> Iterator[None]:
    """Copy empty networks, which pandapower takes a tenth of a second to make each."""
    make, known = pp.create_empty_network, {}

    def make_once(*arguments: Any, **named: Any) -> Any:
        key = repr((arguments, sorted(named.items())))
        if key not in known:
            known[key] = make(*arguments, **named)
        return copy.deepcopy(known[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pp, "create_empty_network", make_once)
        yield
