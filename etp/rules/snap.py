"""SnAp: the sparse n-step approximation of the influence."""

from __future__ import annotations

from typing import final

from attrs import Factory, field, frozen

from ..signals.base import SYMMETRIC, Signal
from ..signals.words import as_signal
from .base import InfluenceRule
from .checks import count
from .registry import register


@final
@register
@frozen
class SnAp(InfluenceRule):
    r"""Sparse n-step approximation.

    .. math:: M^t = Q_n \odot (J^t M^{t-1} + F^t)

    with :math:`Q_n` the pattern of what a weight can influence within n steps. Patterns are found
    from masks, sparse weights and windows before anything runs, and only what lies in them is
    kept: the rule is `DRTRL` in the scope ``"sparse_n(n)"``.

    Parameters
    ----------
    n
        Steps: 1 keeps the own position of each weight, self-connections included; as many as the
        graph of the units is wide keep everything.
    feedback
        How credit arrives at the states: a signal or a word, see `etp.signals.words`.

    Notes
    -----
    Memory
        as many numbers per weight as positions are reached in n steps.
    Time
        the square of the positions reached, per weight.
    Exactness
        exact where nothing leaves the pattern; approximate elsewhere.
    Reference
        Menick et al., ICLR 2021.

    Examples
    --------
    >>> import etp
    >>> etp.rules.SnAp(2).default_scope
    'sparse_n(2)'
    """

    n: int = field(default=1, validator=count)
    default_scope: str = field(init=False, repr=False, eq=False, default=Factory(
        lambda self: f"sparse_n({self.n})", takes_self=True
    ))  # fmt: skip
    signal: Signal = field(default=SYMMETRIC, converter=as_signal, alias="feedback", kw_only=True)

    name = "snap"
    default_window = 0
    point = {}
