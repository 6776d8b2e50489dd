r"""The one convolution, in one layout: grouped, strided, dilated, with one to three spatial axes.

.. math:: y_{n,o,p} = \sum_{c,k} x_{n,\,c,\,p s + k d - l}\; w_{o,c,k}

with $x$ [..., C, *S], $w$ [O, C / groups, *K] and $y$ [..., O, *P]; as everywhere in machine
learning the kernel is not reversed. Any number of axes may lead: they are what makes the family
closed. Transposed to x it is a convolution with input and output channels exchanged and the
kernel reversed; transposed to w, one in which channels lead and the leading axes are summed.
"""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any

import numpy as np

from .. import ops
from ..core import Operand
from ..errors import ShapeError, TypeRuleError
from ..primitive import Hole, Primitive, register
from ..types import TensorType
from ..windows import Window, attributes, windows_of
from .base import fronted

Attrs = dict[str, Any]


def _geometry(x: Any, w: Any, attrs: Attrs) -> tuple[tuple[int, ...], int, list[Window]]:
    """Return the leading extents, the number of groups, and the window on each spatial axis."""
    spatial = len(attrs["strides"])
    lead = x.shape[: len(x.shape) - spatial - 1]
    given = {k: v for k, v in attrs.items() if k != "groups"}
    return lead, attrs["groups"], windows_of(x.shape[-spatial:], w.shape[2:], **given)


def _infer(
    x: Operand, w: Operand, *, strides: tuple[int, ...], padding: tuple[tuple[int, int], ...],
    lhs_dilation: tuple[int, ...], rhs_dilation: tuple[int, ...], groups: int,
) -> TensorType:  # fmt: skip
    spatial = len(strides)
    if not 1 <= spatial <= 3:
        raise TypeRuleError(f"`conv` has 1, 2 or 3 spatial axes, got {spatial} strides")
    if not len(padding) == len(lhs_dilation) == len(rhs_dilation) == spatial:
        raise TypeRuleError(f"`conv` needs padding and dilations for each of {spatial} axes")
    if any(n < 1 for n in (*strides, *lhs_dilation, *rhs_dilation, groups)):
        raise TypeRuleError("`conv` needs strides, dilations and groups of at least 1")
    if x.type.dtype is not w.type.dtype or not x.type.dtype.is_float:
        raise TypeRuleError(f"`conv` needs equal floating-point types, got {x.type} and {w.type}")
    if x.type.rank < spatial + 1 or w.type.rank != spatial + 2:
        raise ShapeError(
            f"`conv` over {spatial} spatial axes needs an input [..., channels, *spatial] and a "
            f"kernel [out, in / groups, *spatial], got {x.type} and {w.type}"
        )
    channels = x.type.shape[-spatial - 1]
    out, inside, *taps = w.type.shape
    if inside * groups != channels or out % groups:
        raise ShapeError(
            f"`conv` in {groups} groups of a kernel of {inside} input and {out} output channels "
            f"takes inputs of {inside * groups} channels, got {channels}: {x.type} and {w.type}"
        )
    if not all(taps):
        raise ShapeError(f"`conv` needs a kernel of at least one tap on every axis, got {w.type}")
    windows = windows_of(
        x.type.shape[-spatial:], taps, strides=strides, padding=padding,
        lhs_dilation=lhs_dilation, rhs_dilation=rhs_dilation,
    )  # fmt: skip
    lead = x.type.shape[: -spatial - 1]
    return x.type.with_shape((*lead, out, *(v.results for v in windows)))


def _reference(x: Any, w: Any, **attrs: Any) -> Any:
    """Look every input up in the tables of the windows; position -1 is a zero at the end."""
    lead, groups, windows = _geometry(x, w, attrs)
    rank = len(lead) + 1
    found = np.pad(x, [(0, 0)] * rank + [(0, 1)] * len(windows))
    for i, window in enumerate(windows):
        # Each spatial axis becomes two: taps and results.
        found = np.take(found, window.table(), axis=rank + 2 * i)
    taps, places = "klm"[: len(windows)], "pqr"[: len(windows)]
    read = "".join(k + p for k, p in zip(taps, places, strict=True))
    found = found.reshape((prod(lead), groups, w.shape[1], *found.shape[rank:]))
    kernel = w.reshape((groups, w.shape[0] // groups, *w.shape[1:]))
    y = np.einsum(f"ngc{read},goc{taps}->ngo{places}", found, kernel, optimize=True)
    return np.ascontiguousarray(y).reshape((*lead, w.shape[0], *(v.results for v in windows)))


def _jvp(primals: Any, tangents: Any, outs: Any, **attrs: Any) -> list[Any]:
    (x, w), (dx, dw) = primals, tangents
    terms = [] if dx is None else [ops.conv(dx, w, **attrs)]
    terms += [] if dw is None else [ops.conv(x, dw, **attrs)]
    if not terms:
        return [None]
    return [terms[0] if len(terms) == 1 else ops.add(*terms)]


# -- transposes ----------------------------------------------------------------------------
def _transpose(cotangents: Any, operands: Any, **attrs: Any) -> list[Any]:
    (ct,) = cotangents
    x, w = operands
    hole = 0 if isinstance(x, Hole) else 1
    out: list[Any] = [None, None]
    if 0 in ct.shape or 0 in x.shape:
        out[hole] = ops.full(ct.builder, operands[hole].shape, 0, ct.dtype)
    else:
        out[hole] = (_to_kernel if hole else _to_input)(ct, x, w, attrs)
    return out


def _to_input(ct: Any, x: Hole, w: Any, attrs: Attrs) -> Any:
    _, groups, windows = _geometry(x, w, attrs)
    out, inside, *taps = w.shape
    flipped = ops.reverse(w, tuple(range(2, w.ndim)))
    split = ops.reshape(flipped, (groups, out // groups, inside, *taps))
    turned = ops.permute(split, (0, 2, 1, *range(3, split.ndim)))
    kernel = ops.reshape(turned, (groups * inside, out // groups, *taps))
    return ops.conv(ct, kernel, **attributes([v.to_input() for v in windows]), groups=groups)


def _to_kernel(ct: Any, x: Any, w: Hole, attrs: Attrs) -> Any:
    """Channels lead, and what leads is summed as channels are: group by group."""
    lead, groups, windows = _geometry(x, w, attrs)
    out, inside = w.shape[:2]
    n, spatial = prod(lead), x.shape[len(lead) + 1 :]
    places = range(3, 3 + len(windows))
    split = ops.reshape(x, (n, groups, inside, *spatial))
    image = ops.reshape(ops.permute(split, (2, 1, 0, *places)), (inside, groups * n, *spatial))
    results = ct.shape[len(lead) + 1 :]
    kernel = ops.permute(
        ops.reshape(ct, (n, out, *results)), (1, 0, *range(2, 2 + len(windows)))
    )  # fmt: skip
    found = ops.conv(image, kernel, **attributes([v.to_kernel() for v in windows]), groups=groups)
    return ops.permute(found, (1, 0, *range(2, 2 + len(windows))))


# -- batching ------------------------------------------------------------------------------
def _batch(operands: Any, axes: Any, size: int, **attrs: Any) -> Any:
    x, w = fronted(operands, axes)
    if axes[1] is None:
        return [ops.conv(x, w, **attrs)], [0]
    groups, kernel, kept = attrs["groups"], w.shape[1:], len(attrs["strides"]) + 1
    if axes[0] is None:
        # Every group has the output channels of all examples.
        split = ops.reshape(w, (size, groups, kernel[0] // groups, *kernel[1:]))
        joined = ops.permute(split, (1, 0, *range(2, split.ndim)))
        y = ops.conv(x, ops.reshape(joined, (size * kernel[0], *kernel[1:])), **attrs)
        lead, places = y.shape[: y.ndim - kept], y.shape[y.ndim - kept + 1 :]
        y = ops.reshape(y, (*lead, groups, size, kernel[0] // groups, *places))
        at = len(lead)
        order = (at + 1, *range(at), at, *range(at + 2, y.ndim))
        return [ops.reshape(ops.permute(y, order), (size, *lead, kernel[0], *places))], [0]
    # Each example is a set of groups of its own.
    at = x.ndim - kept - 1
    moved = ops.permute(x, (*range(1, at + 1), 0, *range(at + 1, x.ndim)))
    channels, *spatial = moved.shape[at + 1 :]
    flat = ops.reshape(moved, (*moved.shape[:at], size * channels, *spatial))
    w = ops.reshape(w, (size * kernel[0], *kernel[1:]))
    y = ops.conv(flat, w, **{**attrs, "groups": size * groups})
    return [ops.reshape(y, (*y.shape[:at], size, kernel[0], *y.shape[at + 1 :]))], [at]


# -- in other primitives -------------------------------------------------------------------
def _lower(x: Any, w: Any, **attrs: Any) -> Any:
    """Return a matrix product with all that the taps read for the results.

    What is read is cut out in one slice for each tap, or in one for each result where these are
    fewer, as in the transpose to a kernel.
    """
    lead, groups, windows = _geometry(x, w, attrs)
    out, inside, *taps = w.shape
    results = tuple(v.results for v in windows)
    shape = (*lead, out, *results)
    if 0 in shape or 0 in x.shape:
        return ops.full(x.builder, shape, 0, x.dtype)
    n, spatial = prod(lead), x.shape[len(lead) + 1 :]
    image = ops.permute(
        ops.reshape(x, (n, groups, inside, *spatial)), (1, 2, 0, *range(3, 3 + len(windows)))
    )
    image = _framed(image, windows)
    kernel = ops.reshape(w, (groups, out // groups, inside, prod(taps)))
    moves = [(v.taps, v.dilation) for v in windows], [(v.results, v.stride) for v in windows]
    by_tap = prod(taps) <= prod(results)
    cuts = _cuts(image, *(moves if by_tap else moves[::-1]))
    patches = cuts[0] if len(cuts) == 1 else ops.concat(cuts, 2)
    if not by_tap:
        y = ops.contract(kernel, patches, "goct,gcpnt->ngop")
    else:
        rows = inside * prod(taps)
        y = ops.contract(
            ops.reshape(kernel, (groups, out // groups, rows)),
            ops.reshape(patches, (groups, rows, n, prod(results))), "gor,grnp->ngop",
        )  # fmt: skip
    return ops.reshape(y, shape)


def _cuts(image: Any, taken: list[tuple[int, int]], each: list[tuple[int, int]]) -> list[Any]:
    """Return one slice [groups, channels, 1, lead, positions] for each place.

    Parameters
    ----------
    taken
        Number and distance of the places along each spatial axis.
    each
        Number and distance of the positions that are read from there.
    """
    groups, inside, n = image.shape[:3]
    size = prod(count for count, _ in each)
    step = [distance for _, distance in each]
    cuts = []
    for place in product(*(range(count) for count, _ in taken)):
        start = [i * distance for i, (_, distance) in zip(place, taken, strict=True)]
        stop = [a + (count - 1) * d + 1 for a, (count, d) in zip(start, each, strict=True)]
        cut = ops.slice_(image, (0, 0, 0, *start), (groups, inside, n, *stop), (1, 1, 1, *step))
        cuts.append(ops.reshape(cut, (groups, inside, 1, n, size)))
    return cuts


def _framed(image: Any, windows: list[Window]) -> Any:
    """Return the input spread, padded and cropped; its spatial axes begin at 3."""
    low, high = ([max(getattr(v, k), 0) for v in windows] for k in ("low", "high"))
    interior = [v.spread - 1 for v in windows]
    if any((*low, *high, *interior)):
        none = [0, 0, 0]
        image = ops.pad(image, none + low, none + high, none + interior)
    start, stop = [0, 0, 0], list(image.shape)
    for i, v in enumerate(windows):
        start.append(max(-v.low, 0))
        stop[3 + i] += min(v.high, 0)
    if any(start) or stop != list(image.shape):
        image = ops.slice_(image, start, stop, [1] * len(stop))
    return image


register(
    Primitive(
        name="conv",
        infer=_infer,
        reference=_reference,
        jvp=_jvp,
        transpose=_transpose,
        batch=_batch,
        lower=_lower,
    )
)
