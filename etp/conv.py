"""Convolutions whose kernel takes part in eligibility traces."""

from __future__ import annotations

from typing import Any

from etp_ir import namespace as xp
from etp_ir.errors import ModelError, ShapeError
from etp_ir.namespace.dispatch import array, builder_of, cast, extension, result_dtype
from etp_ir.primitive import get
from etp_ir.primitives.etp_conv import Layout, spatial_axes
from etp_ir.tracer import bind, unwrap
from etp_ir.windows import Window, dilated

from .functional import element_wise
from .given import mistake
from .windowing import counted, layout_of, pads, per_axis

__all__ = ["conv", "conv_transpose"]


def conv(
    x: Any, kernel: Any, bias: Any = None, strides: Any = 1, padding: Any = "SAME",
    lhs_dilation: Any = 1, rhs_dilation: Any = 1, feature_group_count: int = 1,
    dimension_numbers: Any = None,
) -> Any:  # fmt: skip
    r"""Return the convolution of ``x`` with a kernel marked for eligibility traces.

    .. math:: y_{p,o} = b_o + \sum_{k,i} x_{p s + k d - l,\; i}\; w_{k,i,o}

    with strides $s$, dilation $d$ of the kernel and padding $l$ on each spatial axis; the kernel
    is not reversed (cross-correlation, as ``jax.lax.conv_general_dilated``).

    Parameters
    ----------
    x
        One example, channels last unless ``dimension_numbers`` say otherwise: [W, C], [H, W, C] or
        [D, H, W, C]. Further axes may lead; the convolution applies to each entry of them.
    kernel
        Weight [*spatial, in / groups, out]: a `Param`, or an expression of parameters such as
        ``mask * w``; the trace then lives on the effective kernel.
    bias
        One number for each output channel, marked like a bias of `matmul`.
    strides, rhs_dilation
        Steps of the window, and distances of its taps: one number, or one for each spatial axis.
    padding
        ``"SAME"``, ``"VALID"``, ``"SAME_LOWER"``, a number of zeros on every side, or for each
        spatial axis a number or a pair ``(low, high)``; negative numbers crop.
    lhs_dilation
        Distances of the elements of the input, zeros lying between them; see `conv_transpose`.
    feature_group_count
        Number of groups of channels that do not mix; as many as channels is a depthwise
        convolution.
    dimension_numbers
        Layouts of input, kernel and result as JAX spells them: by default ("NWC", "WIO", "NWC"),
        ("NHWC", "HWIO", "NHWC") or ("NDHWC", "DHWIO", "NDHWC"), after the rank of the kernel. A
        model is written for one example, so that N is no axis of ``x``: it stands for the axes
        that lead, if there are any. Without N there are none.

    Raises
    ------
    ShapeError
        If ranks, channels or groups of ``x``, kernel and bias do not fit, or the kernel is larger
        than the padded input, with the user's line.
    ModelError
        If an option is not of the forms above.
    """
    image, weight = unwrap(x), unwrap(kernel)
    layout, leading = layout_of(dimension_numbers, len(_shape(weight)))
    sizes, taps = _checked(_shape(image), _shape(weight), layout, leading, feature_group_count)
    axes = len(sizes)
    steps = per_axis("strides", strides, axes)
    spread, apart = (
        per_axis(name, given, axes)
        for name, given in (("lhs_dilation", lhs_dilation), ("rhs_dilation", rhs_dilation))
    )
    if isinstance(padding, str) and padding.upper() != "VALID" and max(spread) > 1:
        raise mistake(
            ModelError, f"padding {padding!r} is not defined for an input with lhs_dilation",
            "give the padding in numbers, or use etp.conv_transpose",
        )  # fmt: skip
    frame = pads(padding, sizes, taps, steps, apart)
    for n, k, s, (low, high), up, d in zip(sizes, taps, steps, frame, spread, apart, strict=True):
        window = Window(n, k, s, low, high, up, d)
        if n and not window.results:
            raise mistake(
                ShapeError, f"a kernel of {k} taps, {dilated(k, d)} wide, does not fit an axis of "
                f"{dilated(n, up)} positions, padded by {(low, high)}: the input is "
                f"{list(_shape(image))}",
                'make the kernel or its dilation smaller, or pad more, as "SAME" does',
            )  # fmt: skip
    y = _conv(
        image, weight, layout=layout, strides=steps, padding=frame, lhs_dilation=spread,
        rhs_dilation=apart, groups=feature_group_count,
    )  # fmt: skip
    return y if bias is None else xp.add(y, _along(element_wise(_bias(bias, y, layout)), layout))


def conv_transpose(
    x: Any, kernel: Any, bias: Any = None, strides: Any = 1, padding: Any = "SAME",
    rhs_dilation: Any = 1, feature_group_count: int = 1, dimension_numbers: Any = None,
) -> Any:  # fmt: skip
    r"""Return the transposed (fractionally strided) convolution, with a marked kernel.

    It is `conv` with ``lhs_dilation=strides``, the kernel in its ordinary layout
    [*spatial, in / groups, out], as ``jax.lax.conv_transpose``.

    Parameters
    ----------
    strides
        Factors by which the spatial axes grow.
    padding
        ``"SAME"``: the result is ``size * stride`` long. ``"VALID"``: it has every element that
        the kernel reaches, ``size * stride + max(taps - stride, 0)`` of them. Numbers are the
        padding of the spread input, as in `conv`; where another library removes ``p`` elements on
        either side of the result they are ``dilation * (taps - 1) - p``.
    x, kernel, bias, rhs_dilation, feature_group_count, dimension_numbers
        As for `conv`.

    Raises
    ------
    ShapeError, ModelError
        As `conv` does.
    """
    taps_layout, _ = layout_of(dimension_numbers, len(_shape(unwrap(kernel))))
    axes = spatial_axes(taps_layout)
    steps = per_axis("strides", strides, len(axes))
    apart = per_axis("rhs_dilation", rhs_dilation, len(axes))
    if isinstance(padding, str):
        shape = _shape(unwrap(kernel))
        taps = [shape[taps_layout[1].index(c)] for c in axes] if len(shape) == len(axes) + 2 else []
        # A name that is not known, or a kernel that does not fit, is refused further on.
        if padding.upper() in ("SAME", "VALID") and taps:
            padding = [
                _fractional(dilated(k, d), s, padding.upper() == "SAME")
                for k, d, s in zip(taps, apart, steps, strict=True)
            ]
    return conv(
        x, kernel, bias, 1, padding, steps, apart, feature_group_count, dimension_numbers
    )  # fmt: skip


def _fractional(taps: int, stride: int, same: bool) -> tuple[int, int]:
    """Return the padding of the spread input for one axis of a transposed convolution."""
    if not same:
        return taps - 1, taps - 1 + max(stride - taps, 0)
    low = taps - 1 if stride > taps - 1 else -(-(taps + stride - 2) // 2)
    return low, taps + stride - 2 - low


def _shape(x: Any) -> tuple[int, ...]:
    return tuple(x.shape) if hasattr(x, "shape") else tuple(xp.asarray(x).shape)


def _checked(
    x: tuple[int, ...], w: tuple[int, ...], layout: Layout, leading: bool, groups: Any
) -> tuple[list[int], list[int]]:
    """Return the extents of input and kernel along the spatial axes, of shapes that fit."""
    image, kernel, _ = layout
    axes = spatial_axes(layout)
    shown = f"an input of shape {list(x)} and a kernel of shape {list(w)}"
    wanted = f"an input [{'..., ' if leading else ''}{', '.join(image)}] "
    wanted += f"and a kernel [{', '.join(kernel)}]"
    if len(w) != len(kernel) or len(x) < len(image) or (len(x) > len(image) and not leading):
        raise mistake(
            ShapeError, f"`conv` over {counted(len(axes))} got {shown}",
            f"give {wanted}, for one example" if leading or len(x) <= len(image) else
            f"give {wanted}, or a layout with N in front for axes that lead",
        )  # fmt: skip
    sizes = dict(zip(image, x[len(x) - len(image) :], strict=True))
    taps = dict(zip(kernel, w, strict=True))
    if isinstance(groups, bool) or not hasattr(groups, "__index__") or groups < 1:
        raise mistake(
            ModelError, f"feature_group_count is {groups!r}", "give a whole number of at least 1"
        )
    if taps["I"] * groups != sizes["C"]:
        per = f" / {groups} groups" if groups > 1 else ""
        raise mistake(
            ShapeError, f"`conv` got {shown}: {sizes['C']} channels{per} for {taps['I']} in the "
            f"kernel, with the layouts {image} and {kernel}",
            f"give {wanted}, where I is C{per}",
        )  # fmt: skip
    if taps["O"] % groups:
        raise mistake(
            ShapeError, f"`conv` cannot make {taps['O']} output channels in {groups} groups",
            "make the output channels a multiple of feature_group_count",
        )  # fmt: skip
    if not all(taps[c] for c in axes):
        raise mistake(ShapeError, f"`conv` got {shown}", "give a kernel of at least one tap")
    return [sizes[c] for c in axes], [taps[c] for c in axes]


def _bias(bias: Any, y: Any, layout: Layout) -> Any:
    """Return the bias, which has one element for each output channel."""
    shape, channels = _shape(unwrap(bias)), y.shape[layout[2].index("C") - len(layout[2])]
    if shape != (channels,):
        raise mistake(
            ShapeError, f"`conv` got a bias of shape {list(shape)} for {channels} output channels",
            f"give a bias of shape [{channels}]",
        )  # fmt: skip
    return bias


def _along(bias: Any, layout: Layout) -> Any:
    """Return the bias with the axes that follow the channels in the result."""
    after = len(layout[2]) - 1 - layout[2].index("C")
    return xp.reshape(bias, (-1, *[1] * after)) if after else bias


def _eager(x: Any, w: Any, **attrs: Any) -> Any:
    dtype = xp.result_type(x, w)
    return bind(get("etp.conv"), xp.astype(x, dtype), xp.astype(w, dtype), **attrs)


@extension(_eager)
def _conv(x: Any, w: Any, **attrs: Any) -> Any:
    builder = builder_of(x, w)
    lifted = [array(builder, item) for item in (x, w)]
    dtype = result_dtype(builder, lifted, floating=True)
    return bind(get("etp.conv"), *(cast(item, dtype) for item in lifted), **attrs)
