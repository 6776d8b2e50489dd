"""Normalisation over the examples of a batch, with running statistics for evaluation."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from etp_ir import namespace as xp
from etp_ir.errors import ModelError, ShapeError

from ..given import mistake
from ..mode import training
from ..statistics import batch_mean
from ..variables import Buffer
from .family import Family
from .norm import Affine, channel_axis, over_axis


class BatchNorm(Family, Affine):
    r"""Normalisation of each channel over the batch.

    $$y_c = g_c\, \frac{x_c - \mu_c}{\sqrt{\sigma_c^2 + \epsilon}} + b_c$$

    In training $\mu$ and $\sigma^2$ are mean and variance over the examples of the batch, and over
    the places of a channel, at this step; running averages of them,
    $r \leftarrow (1 - m)\, r + m\, \mu$, are kept in the buffers ``mean`` and ``variance`` and used
    in evaluation. Ioffe & Szegedy, "Batch normalization: accelerating deep network training by
    reducing internal covariate shift", ICML 2015; in recurrent networks Cooijmans et al.,
    "Recurrent batch normalization", ICLR 2017. Steps have statistics of their own and share the
    running averages.

    The gradient of a step is exact, also through the statistics. Traces treat the statistics of
    earlier steps as constants, because through them one example acts on another: where that leaves
    something out, the status of a parameter is ``approximate`` and says so.

    Parameters
    ----------
    channels
        Number of channels.
    channel_axis
        Axis of the channels in one example; the last by default.
    momentum
        $m$, the weight of a new step in the running averages.
    eps
        $\epsilon$.
    scale, bias
        Whether to learn $g$ (``weight``, ones at first) and $b$ (``bias``, zeros at first).

    Raises
    ------
    ModelError
        If ``momentum`` is not between 0 and 1.
    ShapeError
        If the input has other axes or another number of channels, with the user's line.

    Notes
    -----
    The running variance is that of the batch itself, divided by the number of its elements and not
    by one less. All examples count, also where a mask leaves the loss of a step out. Called
    outside of a learner, in training mode, a batch is the one example.
    """

    ranks: ClassVar[tuple[int, ...]]

    def __init__(
        self, channels: int, *, channel_axis: int = -1, momentum: float = 0.1, eps: float = 1e-5,
        scale: bool = True, bias: bool = True,
    ) -> None:  # fmt: skip
        if not 0 < momentum <= 1:
            raise mistake(
                ModelError, f"running averages with momentum={momentum}",
                "give the weight of a new step, above 0 and up to 1",
            )  # fmt: skip
        self.channels, self.channel_axis = channels, channel_axis
        self.momentum, self.eps = momentum, eps
        super().__init__((channels,), scale, bias)
        self.mean = Buffer(np.zeros(channels, np.float32))
        self.variance = Buffer(np.ones(channels, np.float32))

    def __call__(self, x: Any) -> Any:
        """Return the normalised channels."""
        name = type(self).__name__
        axis, shape = channel_axis(x, self.channels, self.channel_axis, name)
        if len(shape) not in self.ranks:
            raise mistake(
                ShapeError, f"{name} got an input of {shape}",
                f"give one example of {' or '.join(map(str, self.ranks))} axes, channels on axis "
                f"{self.channel_axis}",
            )  # fmt: skip
        meets = over_axis(shape, axis)

        def fit(statistic: Any) -> Any:
            return statistic if meets is None else xp.reshape(statistic, meets)

        if training():
            places = tuple(i for i in range(len(shape)) if i != axis)
            mean = batch_mean(_over(x, places))
            centred = xp.subtract(x, fit(mean))
            variance = batch_mean(_over(xp.square(centred), places))
            self._follow(self.mean, mean)
            self._follow(self.variance, variance)
        else:
            mean, variance = self.mean.value, self.variance.value
            centred = xp.subtract(x, fit(mean))
        spread = xp.sqrt(xp.add(variance, self.eps))
        return self.affine(xp.divide(centred, fit(spread)), meets)

    def _follow(self, running: Buffer, new: Any) -> None:
        """Move a running average towards a new statistic."""
        running.value = (1 - self.momentum) * running.value + self.momentum * new


class BatchNorm1d(BatchNorm):
    """Batch normalisation of features (C,) or of channels along an axis (L, C)."""

    ranks = (1, 2)


class BatchNorm2d(BatchNorm):
    """Batch normalisation of the channels of an image (H, W, C)."""

    ranks = (3,)


def _over(x: Any, places: tuple[int, ...]) -> Any:
    return xp.mean(x, axis=places) if places else x
