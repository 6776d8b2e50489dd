"""Synthetic gradients: credit that the state itself predicts, from what was predicted before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import evolve, field, frozen

from etp_ir import ops
from etp_ir.core import Value
from etp_ir.errors import ModelError
from etp_ir.tracer import Tracer
from etp_ir.transforms.vjp import pullback

from ..checks import count, not_negative, optional, seed, whole
from ..given import mistake
from ..statistics import batch_mean
from .base import Array, Arriving, Shared, Signal
from .direct import target_vector
from .feedback import drawn

if TYPE_CHECKING:
    from ..compiler.boundary import Boundary
    from ..compiler.structure import Structure
    from ..learner import Learner

NAME, COPY, COUNT = "synthesiser.A", "synthesiser.copy", "synthesiser.steps"


@frozen(eq=False)
class SyntheticGradient(Signal):
    r"""A linear synthesiser of the credit of all losses to come, the present one included.

    .. math::
        \hat\delta^t &= A\,a^t, \qquad a^t = [h^t;\; y^{*t};\; 1] \\
        A &\leftarrow A - \eta\,\bigl(A\,a^{t-1} - \ell^{t-1} - (J^t)^\top \bar A\,a^t\bigr)
        (a^{t-1})^\top

    over all states :math:`h`, with targets :math:`y^*` (of a classification, the unit vector of
    the class); :math:`\bar A` is a copy of :math:`A`, refreshed every so many steps. All examples
    share both, and learn them from the mean over the batch: ``learner.rule_arrays``.

    Parameters
    ----------
    rate
        Rate :math:`\eta`; 0 keeps a synthesiser as it was fitted.
    every
        Steps between two refreshments of the copy.
    seed, scale
        Seed and standard deviation of the first :math:`A`, zero unless it is given.
    weights
        A synthesiser that was fitted, see `fit`.
    loss, window
        What it was fitted for; `etp.compile` refuses any other.

    Notes
    -----
    Credit is that of the weighted loss: each step's over the size of the batch where parameters
    change after every step.

    References
    ----------
    Jaderberg et al., ICML 2017; as written by Marschall, Cho and Savin, JMLR 21(135), 2020.
    """

    words = ("bootstrapped",)
    rate: float = field(default=0.01, validator=not_negative)
    every: int = field(default=5, validator=count)
    seed: int = field(default=0, validator=seed)
    scale: float = field(default=0.0, validator=not_negative)
    weights: Array | None = field(default=None, repr=False)
    loss: Callable[[Any, Any], Any] | None = field(default=None, repr=False)
    window: int | None = field(default=None, validator=optional(whole))

    why = "credit is synthesised from the state, and not handed back by later losses"

    @staticmethod
    def fit(
        learner: Learner, xs: Any, ys: Any, mask: Any = None, *, window: int = 0,
        ridge: float = 1e-6, rate: float = 0.0,
    ) -> SyntheticGradient:  # fmt: skip
        """Return a synthesiser fitted to the credit that back-propagation through time gives.

        Parameters
        ----------
        learner
            Any learner of the model and loss that it is for; its parameters are those of now.
        xs, ys, mask
            Sequences (T, B, ...), as for ``learner.grad``.
        window
            Window that the synthesiser will be compiled with.
        ridge
            Weight of the squared size of :math:`A`, relative to the mean square of its inputs.
        rate
            Rate at which it learns on.

        Raises
        ------
        etp.ModelError
            If it is given no learner.
        etp.DataError
            If states or credit are not finite on these data.
        """
        from ..learner import Learner
        from .fitting import fitted

        if not isinstance(learner, Learner):
            raise mistake(
                ModelError, f"a synthesiser is fitted to a learner, got {type(learner).__name__}",
                "compile the model first: SyntheticGradient.fit(etp.compile(model, 'bptt', loss), "
                "xs, ys)",
            )  # fmt: skip
        return SyntheticGradient(
            rate=rate, weights=fitted(learner, xs, ys, mask, ridge), loss=learner.engine.loss,
            window=window,
        )  # fmt: skip

    def check(self, loss: Any, window: int) -> None:
        """Raise if it was fitted for another loss or window."""
        if self.weights is None:
            return
        if loss is not self.loss and loss != self.loss:
            raise ModelError(
                f"the synthesiser was fitted for the loss {_told(self.loss)}, and this one is "
                f"{_told(loss)}\nfit it again: etp.SyntheticGradient.fit(learner, xs, ys)"
            )
        if window != self.window:
            raise ModelError(
                f"the synthesiser was fitted for window {self.window}, and this one is {window}\n"
                f"fit it again with window={window}, or compile with window={self.window} where "
                "the rule takes one"
            )

    # -- arrays -----------------------------------------------------------------------------
    def shared(self, structure: Structure) -> Mapping[str, Shared]:
        if not _live(structure):
            return {}
        shape = sizes(structure)
        start = drawn(self.seed, NAME, shape, self.scale, 1) if self.weights is None else (
            np.asarray(self.weights)
        )  # fmt: skip
        if start.shape != shape:
            raise ModelError(
                f"the synthesiser was fitted for {start.shape[0]} states and {start.shape[1]} "
                f"inputs, and this model has {shape[0]} and {shape[1]}\nfit it for this model"
            )
        learned = self.rate > 0
        found = {NAME: Shared(start, shape, learned)}
        if learned:
            found[COPY] = Shared(start, shape, True)
            found[COUNT] = Shared(np.zeros(()), (), True)
        return found

    def kept(self, structure: Structure) -> Mapping[str, tuple[int, ...]]:
        if not self.rate or not _live(structure):
            return {}
        n, wide = sizes(structure)
        return {"inputs": (wide,), "ell": (n,), "begun": ()}

    # -- one step -----------------------------------------------------------------------------
    def arriving(self, at: Boundary) -> Arriving:
        if NAME not in at.shared:
            return {}, {}  # no state is of any later use
        a, _ = self._learned(_whole(at))
        values = _split(_whole(at), ops.contract(a, inputs(at), "ij,j->i"))
        return {n: x for n, x in values.items() if n in at.new}, {}

    def advance(self, at: Boundary) -> Mapping[str, Tracer]:
        if not self.rate:
            return {}
        whole = _whole(at)
        a, own = self._learned(whole)
        count = ops.add(at.shared[COUNT], 1.0)
        refresh = ops.lt(ops.rem(count, float(self.every)), 0.5)
        copy = ops.select(ops.broadcast(refresh, a.shape, ()), a, at.shared[COPY])
        one = ops.full(a.builder, (), 1.0, a.dtype)
        return {
            NAME: a, COPY: copy, COUNT: count, "inputs": inputs(at), "ell": own, "begun": one
        }  # fmt: skip

    def _learned(self, at: Boundary) -> tuple[Tracer, Tracer]:
        """Return the synthesiser after the step, and the signal of its loss on new states."""
        a = at.shared[NAME]
        if not self.rate:
            return a, a
        new, old = at.pull()
        ahead = ops.contract(at.shared[COPY], inputs(at), "ij,j->i")
        carried = _back(at, _split(at, ahead))
        target = ops.add(at.kept["ell"], _joined(at, carried))
        target = ops.add(target, _joined(at, old))
        before = at.kept["inputs"]
        miss = ops.sub(ops.contract(a, before, "ij,j->i"), target)
        begun = ops.broadcast(at.kept["begun"], miss.shape, ())
        slope = batch_mean(ops.contract(ops.mul(begun, miss), before, "i,j->ij"))
        return ops.sub(a, ops.mul(self.rate, slope)), _joined(at, new)


Bootstrapped = SyntheticGradient


def sizes(structure: Structure) -> tuple[int, int]:
    """Return the number of state variables, and of inputs of a synthesiser."""
    n = sum(structure.states[s][0].type.size for s in _live(structure))
    (target,) = structure.program.inputs_of("target")
    output = structure.program.output("output").type
    wide = target.type.size if target.type.dtype.is_float else output.size
    return n, n + wide + 1


def inputs(at: Boundary) -> Tracer:
    """Return what credit is synthesised from: new states, the target, and one."""
    structure = at.pieces.structure
    parts = [_value(at, structure.states[s][1]) for s in _live(structure)]
    parts += [target_vector(at), ops.full(at.pieces.builder, (1,), 1.0, parts[0].dtype)]
    flat: Tracer = ops.concat([ops.reshape(x, (x.size,)) for x in parts], 0)
    return flat


def _live(structure: Structure) -> list[str]:
    return [n for n in structure.states if n in structure.influence.live]


def _whole(at: Boundary) -> Boundary:
    """Return the boundary over all states through which weights act on later losses."""
    return evolve(at, states=tuple(_live(at.pieces.structure)))


def _split(at: Boundary, flat: Tracer) -> dict[str, Tracer]:
    found, start = {}, 0
    for s in _live(at.pieces.structure):
        type = at.pieces.structure.states[s][0].type
        part = ops.slice_(flat, (start,), (start + type.size,), (1,))
        found[s] = ops.reshape(part, type.shape)
        start += type.size
    return found


def _joined(at: Boundary, arrays: Mapping[str, Tracer]) -> Tracer:
    parts = []
    for s in _live(at.pieces.structure):
        x = arrays[s] if s in arrays else at.zeros(at.pieces.structure.states[s][0])
        parts.append(ops.reshape(x, (x.size,)))
    flat: Tracer = parts[0] if len(parts) == 1 else ops.concat(parts, 0)
    return flat


def _back(at: Boundary, credit: Mapping[str, Tracer]) -> dict[str, Tracer]:
    """Return the transition's transpose applied to credit on the new states."""
    s = at.pieces.structure
    cotangents: dict[Value, Any] = {}
    for n, x in credit.items():
        after = s.states[n][1]
        if isinstance(after, Value):
            cotangents[after] = ops.add(cotangents[after], x) if after in cotangents else x
    old = {n: s.states[n][0] for n in credit}
    pulled = pullback(
        at.pieces.builder, s.program.nodes, list(old.values()), cotangents, detach=s.joints
    )
    return {n: pulled[v] for n, v in old.items() if v in pulled}


def _value(at: Boundary, of: Any) -> Tracer:
    if isinstance(of, Value):
        return Tracer(at.pieces.builder, of)
    full: Tracer = ops.full(at.pieces.builder, of.type.shape, of.value, of.type.dtype)
    return full


def _told(loss: Any) -> str:
    return repr(getattr(loss, "name", loss))
