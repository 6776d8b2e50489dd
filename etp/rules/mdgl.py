"""Multi-digraph learning: eligibility traces, and modulators that cells of a type share."""

from __future__ import annotations

from typing import final

from attrs import Factory, field, frozen

from ..signals.base import Signal
from ..signals.cell_types import CellTypes
from ..signals.recurrent import Types, as_types
from .base import InfluenceRule
from .checks import flag, seed
from .registry import register


@final
@register
@frozen
class MDGL(InfluenceRule):
    r"""Multi-digraph learning, online.

    .. math::
        \varepsilon^t &= D^t\varepsilon^{t-1} + u^t\otimes x^t \\
        g_{pq}^t &= \ell_p^t\,\varepsilon_{pq}^t + \varepsilon_{pq}^{t-1}\,
        \frac{\partial z_p^{t-1}}{\partial h_p}
        \sum_j \bar w_{\alpha(p)\beta(j)}\,[p\to j]\,u_j^t\,\ell_j^t

    The trace is that of D-RTRL. Credit also goes back over one step, through recurrent weights
    that are replaced by their means over existing synapses between cells of two types: a
    modulator that cells of a type secrete, and that those hear which they act on.

    Parameters
    ----------
    types, seed, local
        See `etp.signals.CellTypes`: the type of each unit, or how many to draw; whether
        modulators reach only units that a unit acts on. ``local=False`` is NL-MDGL.

    Notes
    -----
    Memory
        one number per weight, state of the group and example.
    Time
        the same per step, and a pass back through the step.
    Exactness
        approximate: paths through recurrent weights are followed over one step, by type.
    Reference
        Liu, Smith, Mihalas, Shea-Brown and Sümbül, PNAS 118(51), 2021.

    Examples
    --------
    >>> import etp
    >>> etp.rules.MDGL(types=[0, 0, 1]).types
    (0, 0, 1)
    """

    types: Types = field(default=2, converter=as_types, hash=False)
    seed: int = field(default=0, validator=seed)
    local: bool = field(default=True, validator=flag)
    signal: Signal = field(init=False, repr=False, eq=False, default=Factory(
        lambda self: CellTypes(self.types, self.seed, self.local), takes_self=True
    ))  # fmt: skip

    name = "mdgl"
    default_window = 0
