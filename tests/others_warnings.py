"""Warnings of other programs, which every test would otherwise turn into errors."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def others_warnings_ignored() -> Iterator[None]:
    """Ignore warnings while pandapower, simbench, pandas or Dask run: each release has new ones.

    The block should hold calls of other programs only: the project's own warnings are errors.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
