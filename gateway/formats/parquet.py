"""The fault of a Parquet file where the extra package pyarrow is missing."""

from __future__ import annotations

from pathlib import Path


def without_pyarrow(path: Path) -> str:
    """Return the sentence that pyarrow is needed for a Parquet file."""
    return (
        f"{path.name} needs the package pyarrow, which is not installed; "
        "install the project with its extra parquet, doe-exchange[parquet]"
    )
