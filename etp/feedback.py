"""Fixed random feedback: errors brought back through weights that are not the readout's."""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import define, field, setters

from etp_ir.errors import ShapeError

from .checks import count, not_negative, optional, seed, text
from .given import mistake
from .signals.feedback import Random, drawn


def _kept(**options: Any) -> Any:
    return field(on_setattr=setters.frozen, **options)


@define(unsafe_hash=True)
class FixedRandomFeedback:
    r"""Feedback alignment: :math:`\ell = B\,\delta` with a matrix that is drawn once.

    Eagerly `update` brings errors back; as ``signal`` of a `RuleConfig` it stands for the
    signal of the same draw, and ``learner.rule_arrays["feedback.WEIGHT"]`` is then `matrix`.

    Parameters
    ----------
    n_target, n_layer
        Number of errors, and of units they are brought to.
    seed, scale
        Seed and standard deviation of the matrix; the deviation is by default one over the square
        root of ``n_layer``.
    weight
        Dotted path of the weight that it stands for; another one has another matrix.

    References
    ----------
    Lillicrap et al., Nature Communications 7:13276, 2016.

    Examples
    --------
    >>> import etp, numpy as np
    >>> feedback = etp.FixedRandomFeedback(2, 3, seed=1)
    >>> feedback.update(np.ones((5, 2))).shape
    (5, 3)
    """

    n_target: int = _kept(validator=count)
    n_layer: int = _kept(validator=count)
    seed: int = _kept(default=0, validator=seed)
    scale: float | None = _kept(default=None, validator=optional(not_negative))
    weight: str = _kept(default="readout.w", validator=text)
    value: Any = field(init=False, default=None, eq=False, repr=False)

    @property
    def matrix(self) -> np.ndarray[Any, Any]:
        """The matrix :math:`B`, (n_layer, n_target)."""
        shape = (self.n_layer, self.n_target)
        return drawn(self.seed, f"feedback.{self.weight}", shape, self.scale, self.n_layer)

    @property
    def signal(self) -> Random:
        """The learning signal that replaces every readout on the way back by such matrices."""
        return Random(self.seed, self.scale)

    def update(self, error: Any) -> Any:
        """Return errors (..., n_target) at the units, (..., n_layer), kept as `value`.

        Raises
        ------
        etp.ShapeError
            If the last axis has another length.
        """
        shape = tuple(getattr(error, "shape", np.shape(error)))
        if shape[-1:] != (self.n_target,):
            raise mistake(ShapeError, f"an error of shape {shape} is brought back",
                          f"its last axis has {self.n_target} elements")  # fmt: skip
        if not hasattr(error, "__array_namespace__"):
            error = np.asarray(error, float)
        xp = error.__array_namespace__()
        matrix = xp.asarray(self.matrix, dtype=error.dtype)
        self.value = xp.matmul(error, xp.matrix_transpose(matrix))
        return self.value

    def reset(self) -> None:
        """Forget the last error; the matrix stays."""
        self.value = None
