r"""The convolution whose kernel is trained: the mark on `conv`, in any layout.

A layout is a string of axes for the input, the kernel and the result, ``("HWC", "HWIO", "HWC")``:
C are channels, I and O the input and output channels of the kernel, every other letter is a
spatial axis. Further axes of the input lead, and lead the result too.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..bilinear import Bilinear, Join, Trained
from ..core import Operand
from ..errors import ShapeError, TypeRuleError
from ..marked import marked
from ..windows import windows_of
from .contract import free_letters

Layout = tuple[str, str, str]
SPATIAL = {"read": "stu", "tap": "klm", "result": "pqr"}


def spatial_axes(layout: Layout) -> str:
    """Return the letters of the spatial axes, in the order of the input."""
    return "".join(c for c in layout[0] if c != "C")


def convolve(
    x: Any, w: Any, *, layout: Layout, strides: Any, padding: Any, lhs_dilation: Any,
    rhs_dilation: Any, groups: int,
) -> Any:  # fmt: skip
    """Return the convolution in a layout, by that in the layout of `conv`."""
    images, kernels, results = layout
    spatial = spatial_axes(layout)
    lead = tuple(range(x.ndim - len(images)))
    x = ops.permute(x, (*lead, *(len(lead) + images.index(c) for c in "C" + spatial)))
    w = ops.permute(w, [kernels.index(c) for c in "OI" + spatial])
    y = ops.conv(
        x, w, strides=strides, padding=padding, lhs_dilation=lhs_dilation,
        rhs_dilation=rhs_dilation, groups=groups,
    )  # fmt: skip
    return ops.permute(y, (*lead, *(len(lead) + ("C" + spatial).index(c) for c in results)))


def form(x: Operand, w: Operand, *, layout: Layout, groups: int, **options: Any) -> Bilinear:
    """Return the letters of a convolution: a window on every spatial axis, and its groups."""
    spatial = spatial_axes(layout)
    lead = x.type.rank - len(layout[0])
    sizes = dict(zip(layout[0], x.type.shape[lead:], strict=True))
    taps = dict(zip(layout[1], w.type.shape, strict=True))
    windows = windows_of([sizes[c] for c in spatial], [taps[c] for c in spatial], **options)
    joins: dict[str, Join] = {}
    x_letters, w_letters, y_letters = {"C": "i"}, {"I": "i", "O": "o"}, {"C": "o"}
    for axis, window, read, tap, result in zip(spatial, windows, *SPATIAL.values(), strict=False):
        x_letters[axis], w_letters[axis], y_letters[axis] = read, tap, result
        joins[read] = Join(tap + result, window.table())
    if groups > 1:
        x_letters["C"] = "c"
        joins["c"] = Join("io", _channels(taps["I"], taps["O"], groups))
    used = "".join([*x_letters.values(), *w_letters.values(), *y_letters.values()])
    front = ("b" + free_letters("b" + used, lead - 1))[:lead] if lead else ""
    images, kernels, results = layout
    return Bilinear(
        front + "".join(x_letters[c] for c in images),
        "".join(w_letters[c] for c in kernels),
        front + "".join(y_letters[c] for c in results),
        joins,
    )


def _channels(inside: int, outside: int, groups: int) -> Any:
    """Return the input channel that channel i of the kernel is, for each output channel."""
    group = np.arange(outside, dtype=np.int32) // (outside // groups)
    return np.arange(inside, dtype=np.int32)[:, None] + group[None, :] * inside


def _check(x: Operand, w: Operand, *, layout: Layout, **options: Any) -> None:
    images, kernels, results = map(sorted, layout)
    spatial = list(spatial_axes(layout))
    if images != results or images != sorted(["C", *set(spatial)]):
        raise TypeRuleError(f"`etp.conv` of the layouts {layout}: input and result differ")
    if kernels != sorted(["I", "O", *spatial]):
        raise TypeRuleError(f"`etp.conv` of the layouts {layout}: the kernel has other axes")
    if x.type.rank < len(images) or w.type.rank != len(kernels):
        raise ShapeError(f"`etp.conv` of the layouts {layout} does not fit {x.type} and {w.type}")


marked("etp.conv", convolve, {"kernel": Trained(1, form)}, check=_check, leading=0)
