"""Dropout: features left out at random while the model is trained."""

from __future__ import annotations

from typing import Any

from etp_ir import namespace as xp
from etp_ir.errors import ModelError

from ..given import mistake
from ..mode import training
from ..model import Module
from ..random import bernoulli


class Dropout(Module):
    r"""Inverted dropout, $y = m \odot x / (1 - p)$ with $m_i = 0$ in a fraction $p$ of draws.

    In evaluation mode it is the identity. Srivastava et al., "Dropout: a simple way to prevent
    neural networks from overfitting", JMLR 2014.

    The mask is drawn anew for every example and at every step, or with ``locked`` once per
    sequence: Gal & Ghahramani, "A theoretically grounded application of dropout in recurrent neural
    networks", NeurIPS 2016, who drop the same units of a recurrent layer at all steps. A mask is a
    constant of its step, so statuses of gradients do not change.

    Parameters
    ----------
    p
        Fraction of features that is left out, from 0 up to, but not including, 1.
    locked
        Whether one mask serves the whole sequence.

    Raises
    ------
    ModelError
        If ``p`` is no such fraction.
    """

    def __init__(self, p: float = 0.5, *, locked: bool = False) -> None:
        if not 0 <= p < 1:
            raise mistake(
                ModelError, f"a fraction of {p} of the features cannot be left out",
                "give p from 0 up to, but not including, 1",
            )  # fmt: skip
        self.p = float(p)
        self.locked = locked

    def __call__(self, x: Any) -> Any:
        """Return what is left of ``x``."""
        if not training() or self.p == 0:
            return x
        keep = bernoulli(1 - self.p, x.shape, per="sequence" if self.locked else "step")
        return xp.where(keep, xp.multiply(x, 1 / (1 - self.p)), 0.0)
