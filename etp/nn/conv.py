"""Convolutional layers, channels last, over one, two or three spatial axes."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from etp_ir import namespace as xp
from etp_ir.errors import ModelError, ShapeError

from ..conv import conv, conv_transpose
from ..given import mistake
from ..init import Initializer, Rng, drawn, glorot
from ..model import Param
from ..windowing import checked_padding, per_axis
from .bias import Bias, initial_bias
from .family import Family


class Conv(Family):
    r"""What the convolutions have in common.

    $$y_{p,o} = b_o + \sum_{k,i} x_{p s + k d - l,\; i}\; w_{k,i,o}$$

    The kernel is not reversed, see `etp.conv`; channels are last. A transposed convolution is the
    same with zeros between the elements of the input, see `etp.conv_transpose`.

    Parameters
    ----------
    n_in, n_out
        Numbers of input and output channels.
    kernel_size
        Taps of the kernel: one number, or one for each spatial axis; so are stride and dilation.
    stride
        Steps $s$ of the window; of a transposed convolution, factors by which the axes grow.
    padding
        ``"SAME"``, ``"VALID"``, a number, or a number or pair for each spatial axis; see
        `etp.conv` and `etp.conv_transpose`.
    dilation
        Distances $d$ of the taps.
    groups
        Groups of channels that do not mix; ``groups=n_in`` is a depthwise convolution.
    bias
        See `Linear`.
    rng
        Generator or seed of the initial weight.
    w_init
        Initial weight [*taps, n_in / groups, n_out], see `Linear`.
    w_mask
        Multiplies the weight; where it is zero there is no connection. The trace lives on the
        masked weight, so that gradients are right for any mask.

    Raises
    ------
    ModelError
        If the groups do not divide the channels, or an option does not fit the spatial axes.
    ShapeError
        If the mask does not broadcast to the weight; when called, if the kernel is larger than the
        padded input, with the user's line.
    """

    axes: ClassVar[int]
    transposed: ClassVar[bool] = False

    def __init__(
        self, n_in: int, n_out: int, kernel_size: Any, *, stride: Any = 1, padding: Any = "SAME",
        dilation: Any = 1, groups: int = 1, bias: Bias = True, rng: Rng,
        w_init: Initializer = glorot, w_mask: Any = None,
    ) -> None:  # fmt: skip
        if groups < 1 or n_in % groups or n_out % groups:
            raise mistake(
                ModelError, f"{n_in} input and {n_out} output channels in {groups} groups",
                "choose a number of groups that divides both",
            )  # fmt: skip
        self.stride = per_axis("stride", stride, self.axes)
        self.dilation = per_axis("dilation", dilation, self.axes)
        self.padding, self.groups = checked_padding(padding, self.axes), groups
        shape = (*per_axis("kernel_size", kernel_size, self.axes), n_in // groups, n_out)
        self.weight = Param(drawn(w_init, rng, shape))
        self.bias = initial_bias(bias, (n_out,))
        self.w_mask = None if w_mask is None else _mask(w_mask, shape)

    def __call__(self, x: Any) -> Any:
        """Return the convolution of ``x`` [..., *spatial, n_in]."""
        weight = self.weight if self.w_mask is None else xp.multiply(self.weight, self.w_mask)
        function = conv_transpose if self.transposed else conv
        return function(
            x, weight, self.bias, strides=self.stride, padding=self.padding,
            rhs_dilation=self.dilation, feature_group_count=self.groups,
        )  # fmt: skip


def _mask(given: Any, shape: tuple[int, ...]) -> Any:
    """Return a mask of the shape of the kernel."""
    try:
        return np.broadcast_to(np.asarray(given, np.float32), shape).copy()
    except ValueError:
        raise mistake(
            ShapeError, f"a mask of shape {list(np.shape(given))} for a kernel {list(shape)}",
            "give a mask [*taps, n_in / groups, n_out], or one that broadcasts to it",
        ) from None  # fmt: skip


class Conv1d(Conv):
    """Convolution of [..., W, n_in] to [..., W, n_out]."""

    axes = 1


class Conv2d(Conv):
    """Convolution of [..., H, W, n_in] to [..., H, W, n_out]."""

    axes = 2


class Conv3d(Conv):
    """Convolution of [..., D, H, W, n_in] to [..., D, H, W, n_out]."""

    axes = 3


class ConvTranspose1d(Conv):
    """Transposed convolution of [..., W, n_in] to [..., W, n_out]."""

    axes, transposed = 1, True


class ConvTranspose2d(Conv):
    """Transposed convolution of [..., H, W, n_in] to [..., H, W, n_out]."""

    axes, transposed = 2, True


class ConvTranspose3d(Conv):
    """Transposed convolution of [..., D, H, W, n_in] to [..., D, H, W, n_out]."""

    axes, transposed = 3, True
