"""Array types by what they hold, and the search for equal lines; defined once, here."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

BoolArray = npt.NDArray[np.bool_]
ComplexArray = npt.NDArray[np.complex128]
FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]
"""Positions in other arrays."""
IntArray = npt.NDArray[np.int64]
"""Whole numbers that are amounts, such as watts or ticks."""


def first_of_equal(lines: FloatArray) -> tuple[IndexArray, IndexArray]:
    """Return the index of the first of each group of equal lines, and each line's group.

    By hash, since sorting long lines is slow; a clash of hashes is noticed, and sorted out.
    """
    # Adding zero turns -0.0 into 0.0, which are equal but have different bytes.
    plain = np.ascontiguousarray(lines + 0.0)
    _, first, group = np.unique(_hashes(plain), return_index=True, return_inverse=True)
    if not np.array_equal(plain[first[group]], plain):
        whole = plain.view(np.dtype((np.void, plain.shape[1] * plain.itemsize))).ravel()
        _, first, group = np.unique(whole, return_index=True, return_inverse=True)
    return first, group


def _hashes(lines: FloatArray) -> npt.NDArray[np.uint64]:
    """Return a 64-bit hash of each line: equal lines have equal ones."""
    bits = lines.view(np.uint64)
    bits = bits ^ (bits >> np.uint64(29))
    factors = np.arange(1, lines.shape[1] + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    hashes: npt.NDArray[np.uint64] = (bits * (factors | np.uint64(1))).sum(axis=1)
    return hashes
