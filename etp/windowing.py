"""What users say of windows: layouts, strides and padding, checked and brought into one form."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np

from etp_ir.errors import ModelError, ShapeError, nearest
from etp_ir.primitives.etp_conv import Layout
from etp_ir.windows import dilated

from .given import mistake

# Channels last; the letters of the spatial axes are those of the field.
SPATIAL = {1: "W", 2: "HW", 3: "DHW"}
PADDINGS = ("SAME", "VALID", "SAME_LOWER")


def counted(axes: int) -> str:
    """Return ``"2 spatial axes"``."""
    return f"{axes} spatial ax{'i' if axes == 1 else 'e'}s"


def per_axis(name: str, given: Any, axes: int, least: int = 1) -> tuple[int, ...]:
    """Return one whole number for each spatial axis, from one for all or one for each.

    Raises
    ------
    ModelError
        If it is neither, or smaller than ``least``.
    """
    try:
        numbers = (index(given),) * axes if np.ndim(given) == 0 else tuple(map(index, given))
    except TypeError:
        numbers = ()
    if len(numbers) != axes or any(n < least for n in numbers):
        raise mistake(
            ModelError, f"{name} is {given!r}, for {counted(axes)}",
            f"give one whole number of at least {least}, or {axes} of them",
        )  # fmt: skip
    return numbers


def pads(
    given: Any, sizes: Sequence[int], taps: Sequence[int], strides: Sequence[int],
    rhs_dilation: Sequence[int],
) -> tuple[tuple[int, int], ...]:  # fmt: skip
    """Return the zeros before and after each spatial axis.

    Parameters
    ----------
    given
        ``"VALID"``: none. ``"SAME"``: as many as make the result ``ceil(size / stride)`` long, the
        odd one at the end; ``"SAME_LOWER"``: at the beginning. A whole number: so many on every
        side. A sequence: for each axis a number or a pair ``(low, high)``; negative numbers crop.
    sizes, taps
        Extents of input and kernel.

    Raises
    ------
    ModelError
        If it is none of these.
    """
    if isinstance(given, str):
        if given.upper() not in PADDINGS:
            raise mistake(
                ModelError, f"no padding {given!r}{nearest(given, PADDINGS)}",
                "or give a number, or a pair (low, high) for each spatial axis",
            )  # fmt: skip
        if given.upper() == "VALID":
            return ((0, 0),) * len(sizes)
        found = []
        for size, k, s, d in zip(sizes, taps, strides, rhs_dilation, strict=True):
            total = max((-(-size // s) - 1) * s + dilated(k, d) - size, 0)
            small, large = total // 2, total - total // 2
            found.append((small, large) if given.upper() == "SAME" else (large, small))
        return tuple(found)
    try:
        whole = not isinstance(given, (list, tuple)) and np.ndim(given) == 0
        rows = [given] * len(sizes) if whole else list(given)
        pairs = [(index(r),) * 2 if np.ndim(r) == 0 else tuple(map(index, r)) for r in rows]
    except (TypeError, ValueError):
        pairs = []
    if len(pairs) != len(sizes) or any(len(pair) != 2 for pair in pairs):
        raise mistake(
            ModelError, f"padding is {given!r}, for {counted(len(sizes))}",
            'give "SAME", "VALID", a number, or a pair (low, high) for each spatial axis',
        )  # fmt: skip
    return tuple((low, high) for low, high in pairs)


def checked_padding(given: Any, axes: int) -> Any:
    """Return a padding as it was given, if it is one of `pads` for so many spatial axes.

    Raises
    ------
    ModelError
        If it is not.
    """
    pads(given, *[(1,) * axes] * 4)
    return given


def layout_of(dimension_numbers: Any, kernel_rank: int) -> tuple[Layout, bool]:
    """Return the layout of one example, and whether further axes may lead.

    Parameters
    ----------
    dimension_numbers
        Three strings for input, kernel and result, in JAX's spelling. N stands first or not at
        all: it is the batch, which a model does not see, or any other leading axes.
    kernel_rank
        Rank of the kernel, which says how many spatial axes there are where nothing is given.

    Raises
    ------
    ModelError
        If the strings name other axes, or N does not lead.
    """
    if dimension_numbers is None:
        letters = SPATIAL.get(kernel_rank - 2)
        if letters is None:
            raise mistake(
                ShapeError, f"a convolution has a kernel of 3, 4 or 5 axes, got {kernel_rank}",
                "give a kernel [*spatial, in, out] with 1, 2 or 3 spatial axes",
            )  # fmt: skip
        return (letters + "C", letters + "IO", letters + "C"), True
    how = 'give three strings such as ("NHWC", "HWIO", "NHWC") or ("NCW", "OIW", "NCW")'
    given = dimension_numbers
    if not (
        isinstance(given, (tuple, list)) and len(given) == 3
        and all(isinstance(term, str) for term in given)
    ):  # fmt: skip
        raise mistake(ModelError, f"dimension_numbers is {given!r}", how)
    image, kernel, result = map(str, given)
    leading = image.startswith("N") and result.startswith("N")
    lead = "N" if leading else ""
    image, result = image.removeprefix(lead), result.removeprefix(lead)
    axes = sorted(set(image) - {"C"})
    fits = (
        1 <= len(axes) <= 3 and not {"N", "I", "O"} & set(axes)
        and sorted(image) == sorted(result) == sorted(["C", *axes])
        and sorted(kernel) == sorted(["I", "O", *axes])
    )  # fmt: skip
    if not fits:
        what = f"dimension_numbers {tuple(given)} do not name the same 1 to 3 spatial axes, C in "
        what += "input and result, I and O in the kernel, and N in front or nowhere"
        raise mistake(ModelError, what, how)
    return (image, kernel, result), leading
