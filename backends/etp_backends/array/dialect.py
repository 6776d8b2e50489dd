"""What differs between the NumPy-like array libraries that generated source runs on."""

from __future__ import annotations

from attrs import frozen


@frozen
class Dialect:
    """A NumPy-like library, as far as generated source must know it.

    Attributes
    ----------
    name
        Name shown at the top of the source.
    reduce
        Suffix of a ufunc that reduces with ``axis`` and ``out``, or None where `sum` and `max`
        take its place. The ufunc method skips a Python wrapper that costs as much as a small sum.
    einsum
        Whether ``einsum`` takes ``out``: then contractions without a matrix product in them
        need no temporary copy.
    integer_select
        Whether selection by multiplying bit patterns beats ``where``, whose branches a CPU
        mispredicts.
    tile
        Whether large arrays are worked on in blocks that fit into the cache.
    host
        Whether arrays live where Python does, so that reference semantics can stand in for a
        primitive without a kernel.
    """

    name: str
    reduce: bool
    einsum: bool
    integer_select: bool
    tile: bool
    host: bool


NUMPY = Dialect("numpy", reduce=True, einsum=True, integer_select=True, tile=True, host=True)
CUPY = Dialect("cupy", reduce=False, einsum=False, integer_select=False, tile=False, host=False)
