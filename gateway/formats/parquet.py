"""Parquet files need pyarrow, which is an extra."""

from __future__ import annotations

from pathlib import Path


def without_pyarrow(path: Path) -> str:
    """Return what is missing to read or write a Parquet file, as a sentence."""
    return (
        f"{path.name} needs the package pyarrow, which is not installed; "
        "install the project with its extra parquet, doe-exchange[parquet]"
    )
