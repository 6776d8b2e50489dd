r"""Credit by lag: what a gradient owes to the use of the weights some steps before the loss.

A loss at the last step T alone has a gradient that is a sum over the steps at which the weights
were used. Back-propagation gives every term when each step has parameters of its own,
:math:`G_k = \partial L^T/\partial\theta_{T-k}`. Of a learning rule the same is found from outside,
without asking how it works. Let :math:`\hat G(s)` be its gradient at step T when the states are
those of the sequence but everything that the rule keeps is empty before step s: it knows of the
steps s to T and of no other. Then

.. math:: \hat G_k = \hat G(T-k) - \hat G(T-k+1), \qquad \sum_k \hat G_k = \hat G(1).

For linear traces these are the terms of the recurrence; for others, what knowing of one more step
adds. A rule without approximation has :math:`\hat G_k = G_k` at every lag.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from attrs import asdict, frozen

from etp_ir.errors import NotSupportedError

from ..learner import Learner
from ..oracle import unrolled_shares
from .alignment import Alignment, GradientAlignment, align

Array = np.ndarray[Any, Any]
Gradient = dict[str, Array]


@frozen
class LagShare:
    """The gradient that is owed to the use of the weights at one lag, against BPTT.

    Attributes
    ----------
    lag
        Steps between the use of the weights and the loss.
    weight
        Norm of the exact share relative to the largest one: how much there is to be had.
    overall
        All parameters as one vector.
    parameters
        By dotted path.
    """

    lag: int
    weight: float
    overall: Alignment
    parameters: dict[str, Alignment]


@frozen
class LagProfile:
    """Shares by lag, and whether they add up.

    Attributes
    ----------
    length
        Steps of the sequence, with the loss at the last.
    shares
        By increasing lag.
    rest
        Relative deviation of the sum of all shares from the rule's gradient of the whole
        sequence; nan unless every lag was asked for.
    """

    length: int
    shares: tuple[LagShare, ...]
    rest: float

    def to_dict(self) -> dict[str, Any]:
        """Return the profile as plain data."""
        return asdict(self)


def lag_profile(
    learner: Learner, xs: Any, ys: Any, lags: Iterable[int] | None = None, modulator: Any = None
) -> LagProfile:
    """Return how the shares of each lag stand to those of back-propagation.

    Parameters
    ----------
    learner
        Its parameters stay; its stream starts over.
    xs, ys
        Inputs and targets (T, B, ...); the loss is that of the last step.
    lags
        By default all, from 0 to T - 1.
    modulator
        One for each step, (T,), if the learning signal asks for it.

    Raises
    ------
    etp.NotSupportedError
        If the rule keeps nothing between steps, or examples meet within the model.
    """
    length = len(xs)
    wanted = sorted({k for k in (range(length) if lags is None else lags) if 0 <= k < length})
    got, whole = rule_shares(learner, xs, ys, wanted, modulator)
    want = exact_shares(learner, xs, ys)
    largest = max(_norm({n: s[length - 1 - k] for n, s in want.items()}) for k in range(length))
    shares = []
    for k in wanted:
        exact = {n: s[length - 1 - k] for n, s in want.items()}
        found: GradientAlignment = align(got[k], exact)
        weight = _norm(exact) / largest if largest else 0.0
        shares.append(LagShare(k, weight, found.overall, found.parameters))
    rest = float("nan")
    if len(wanted) == length:
        total = {n: sum(np.asarray(got[k][n]) for k in wanted) for n in whole}
        rest = align(total, whole).overall.deviation
    return LagProfile(length, tuple(shares), rest)


def rule_shares(
    learner: Learner, xs: Any, ys: Any, lags: Iterable[int], modulator: Any = None
) -> tuple[dict[int, Gradient], Gradient]:
    r"""Return :math:`\hat G_k` by lag, and the gradient of the loss at the last step.

    Both are means over the batch. The stream of the learner starts over.
    """
    length, size = len(xs), np.shape(xs)[1]
    mask = np.zeros((length, size))
    mask[-1] = 1
    learner.reset()
    start = learner.state_dict()
    # The weight of each step is its share of the unmasked steps, of which there is one.
    given: list[dict[str, Any]] = [{} for _ in range(length)]
    if modulator is not None:
        given = [{"modulator": m} for m in modulator]
    every = {} if modulator is None else {"modulator": modulator}
    whole = _numpy(learner, learner.grad(xs, ys, mask, **every)[0])
    starts = sorted({length - 1 - k for k in lags} | {length - k for k in lags})
    learner.load_state_dict(start)
    before = {}
    for t in range(length):
        if t in starts:
            before[t] = learner.state_dict()
        learner.step(xs[t], ys[t], mask[t], **given[t])
    kept = list(learner.traces)
    found: dict[int, Gradient] = {length: {n: np.zeros_like(g) for n, g in whole.items()}}
    for s, state in before.items():
        learner.load_state_dict(_emptied(state, kept))
        for t in range(s, length):
            learner.step(xs[t], ys[t], mask[t], **given[t])
        found[s] = _numpy(learner, learner.gradients)
    learner.load_state_dict(start)
    at = {k: length - 1 - k for k in lags}
    return {k: {n: found[s][n] - found[s + 1][n] for n in whole} for k, s in at.items()}, whole


def exact_shares(learner: Learner, xs: Any, ys: Any) -> Gradient:
    r"""Return :math:`\partial L^T/\partial\theta_t` for each step t, (T, ...) by parameter.

    The mean over the batch, by unrolling the model.

    Raises
    ------
    etp.NotSupportedError
        If examples meet within the model, so that one cannot be unrolled without the others.
    """
    engine = learner.engine
    batch = engine.batch(xs, ys)
    compiled = engine.compile(batch)
    program = compiled.loss.program
    if learner.engine.trace(batch).program.inputs_of("buffer"):
        raise NotSupportedError(
            "credit by lag is not told for models with running statistics\n"
            "freeze them, or leave out the layer that keeps them"
        )
    step = compiled.step
    arrays = {
        **{n: learner.backend.to_numpy(x) for n, x in learner.held.items()},
        **step.states, **compiled.loss.constants,
    }  # fmt: skip
    sequences = dict(zip(step.inputs, batch.xs.values(), strict=True))
    draw, _ = learner.draws.sequence()
    for port in program.inputs:
        if port.role.kind == "target":
            sequences[port.name] = batch.ys
        elif port.role.kind == "noise":
            sequences[port.name] = draw.keys(port.role.of[0], batch.length, batch.size)
    kind = engine.dtype.numpy()
    for port in program.inputs_of("input", "target"):
        sequences[port.name] = np.asarray(sequences[port.name], port.type.dtype.numpy())
    weights = np.zeros((batch.length, batch.size), kind)
    weights[-1] = 1 / batch.size
    return unrolled_shares(program, arrays, sequences, weights)


def _emptied(state: Mapping[str, Any], traces: Iterable[str]) -> dict[str, Any]:
    """Return a state dict whose stream has its states and none of its traces."""
    stream = state["stream"]
    empty = {n: np.zeros_like(stream[n]) for n in traces if n in stream}
    return {**state, "stream": {**stream, **empty}}


def _numpy(learner: Learner, grads: Mapping[str, Any]) -> Gradient:
    return {n: np.array(learner.backend.to_numpy(g), np.float64) for n, g in grads.items()}


def _norm(gradient: Mapping[str, Array]) -> float:
    return float(np.sqrt(sum(np.vdot(g, g) for g in gradient.values())))
