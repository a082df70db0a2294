"""Array types by what they hold, and the search for equal rows of a matrix."""

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

    Lines are the rows of the matrix.  They are compared by a 64-bit hash, since sorting long lines
    is slow; a collision is detected, and then the lines themselves are sorted.  The groups come in
    the order of their hashes.
    """
    # Adding zero turns -0.0 into 0.0, which are equal but have different bytes.
    plain = np.ascontiguousarray(lines + 0.0)
    _, first, group = np.unique(_hashes(plain), return_index=True, return_inverse=True)
    if not np.array_equal(plain[first[group]], plain):
        whole = plain.view(np.dtype((np.void, plain.shape[1] * plain.itemsize))).ravel()
        _, first, group = np.unique(whole, return_index=True, return_inverse=True)
    return first, group


def _hashes(lines: FloatArray) -> npt.NDArray[np.uint64]:
    """Return a 64-bit hash of each line: equal lines have equal hashes.

    A sum of the columns' bits, each times an odd factor of its own.  Round numbers have zeros in
    their low bits, so the high bits are mixed into these first.
    """
    bits = lines.view(np.uint64)
    bits = bits ^ (bits >> np.uint64(29))
    # Multiples of 2^64 over the golden ratio, modulo 2^64, are spread evenly (Knuth, The Art of
    # Computer Programming, volume 3, section 6.4): so neighbouring columns have unlike factors.
    factors = np.arange(1, lines.shape[1] + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    hashes: npt.NDArray[np.uint64] = (bits * (factors | np.uint64(1))).sum(axis=1)
    return hashes
