"""Optional packages: check whether a task has its package, and say what to install."""

from __future__ import annotations

from importlib.util import find_spec

# Module to import: (name of its package, what to install).
_PACKAGES = {
    "distributed": ("distributed", "doe-exchange[dask]"),
    "lightsim2grid": ("lightsim2grid", "doe-exchange[meshed]"),
    "matplotlib": ("matplotlib", "doe-exchange[plot]"),
    "opendssdirect": ("opendssdirect.py", "doe-exchange[opendss]"),
    "pyarrow": ("pyarrow", "doe-exchange[parquet]"),
    "simbench": ("simbench", "doe-exchange[simbench]"),
}


def missing_package(module: str, task: str) -> str | None:
    """Return what to install for a task, as a sentence; ``None`` if its package is installed.

    Parameters
    ----------
    module
        The module that the task imports.
    task
        Subject of the sentence, for example the name of a file.
    """
    if find_spec(module) is not None:
        return None
    package, remedy = _PACKAGES[module]
    return f"{task} needs the package {package}, which is not installed; install {remedy}"
