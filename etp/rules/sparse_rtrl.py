"""Sparse RTRL: real-time recurrent learning without what is zero."""

from __future__ import annotations

from sys import maxsize
from typing import final

from attrs import field, frozen

from ..signals.base import SYMMETRIC, Signal
from ..signals.words import as_signal
from .base import InfluenceRule
from .registry import register


@final
@register
@frozen
class SparseRTRL(InfluenceRule):
    r"""Exact real-time recurrent learning that keeps no entry of the influence that stays zero.

    .. math:: M^t = J^t M^{t-1} + F^t

    Which units a weight ever reaches is found from masks, sparse weights and windows: the scope is
    ``"sparse_n(n)"`` with as many steps as the graph of the units is wide. Weights that a mask
    leaves out of a sparse product have no trace at all.

    Parameters
    ----------
    feedback
        How credit arrives at the states: a signal or a word, see `etp.signals.words`.

    Notes
    -----
    Memory
        one number per weight and unit that it ever reaches, per example.
    Time
        for each weight the square of the number of units that it ever reaches.
    Exactness
        exact for all weights of products; parameters that enter by plain operations keep their
        direct gradient (``rtrl`` follows them).
    Reference
        Menick et al., ICLR 2021; Subramoney et al., ICLR 2023.

    Examples
    --------
    >>> import etp
    >>> etp.rules.resolve("sparse_rtrl")
    SparseRTRL()
    """

    signal: Signal = field(default=SYMMETRIC, converter=as_signal, alias="feedback", kw_only=True)

    name = "sparse_rtrl"
    default_scope = f"sparse_n({maxsize})"
    default_window = 0
