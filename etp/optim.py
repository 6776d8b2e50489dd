"""Optimisers and learning-rate schedules, written once on ``etp.xp``.

An optimiser is an immutable object with two pure functions on flat dicts of arrays, so the same
code runs eagerly and is traced into the training loop::

    state = optimizer.init(params)
    params, state = optimizer.update(grads, state, params)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from math import inf, log, pi
from typing import Any

import numpy as np
from attrs import field, frozen

from etp_ir import namespace as xp
from etp_ir.errors import ModelError, compose, nearest
from etp_ir.types import type_of

Arrays = Mapping[str, Any]
Schedule = Callable[[Any], Any]


# -- schedules -----------------------------------------------------------------------------
@frozen
class Constant:
    """The same rate at every step."""

    rate: float

    def __call__(self, step: Any) -> Any:
        """Return the rate at a step."""
        return self.rate


@frozen
class Cosine:
    """Half a cosine from ``peak`` to ``final`` over ``steps`` steps, then ``final``."""

    peak: float
    steps: int
    final: float = 0.0

    def __call__(self, step: Any) -> Any:
        """Return the rate at a step."""
        progress = xp.minimum(xp.divide(step, self.steps), 1.0)
        return self.final + (self.peak - self.final) * 0.5 * (1.0 + xp.cos(pi * progress))


@frozen
class InverseRoot:
    """``peak / sqrt(1 + step / steps)``: falls for ever, and needs no horizon."""

    peak: float
    steps: float

    def __call__(self, step: Any) -> Any:
        """Return the rate at a step."""
        return xp.divide(self.peak, xp.sqrt(xp.add(1.0, xp.divide(step, self.steps))))


@frozen
class LinearWarmup:
    """A straight line up to the first rate of ``after`` in ``steps`` steps, then ``after``."""

    after: Schedule
    steps: int

    def __call__(self, step: Any) -> Any:
        """Return the rate at a step."""
        late = xp.maximum(xp.subtract(step, self.steps), 0)
        ramp = xp.minimum(xp.divide(xp.add(step, 1), self.steps), 1.0)
        return xp.multiply(ramp, self.after(late))


def constant(rate: float) -> Schedule:
    """Return the schedule of one rate."""
    return Constant(float(rate))


def cosine(peak: float, steps: int, final: float = 0.0) -> Schedule:
    """Return a schedule that falls from ``peak`` to ``final`` along half a cosine."""
    return Cosine(float(peak), int(steps), float(final))


def inverse_root(peak: float, steps: float) -> Schedule:
    """Return a schedule that falls as ``peak / sqrt(1 + step / steps)``."""
    return InverseRoot(float(peak), float(steps))


def linear_warmup(after: float | Schedule, steps: int) -> Schedule:
    """Return a schedule that rises to ``after``, a rate or a schedule, and then follows it."""
    return LinearWarmup(_schedule(after), int(steps))


def _schedule(rate: Any) -> Schedule:
    if callable(rate):
        return rate
    if isinstance(rate, (int, float, np.floating, np.integer)) and rate >= 0:
        return Constant(float(rate))
    raise ModelError(
        compose(f"{rate!r} is no learning rate",
                how="give a number >= 0, a schedule of etp.optim, or a function of the step")
    )  # fmt: skip


def _positive(instance: Any, attribute: Any, value: float | None) -> None:
    if value is not None and not value > 0:
        raise ModelError(f"{attribute.name} must be a number above 0, or None; got {value!r}")


# -- the frame -----------------------------------------------------------------------------
@frozen(kw_only=True)
class Optimizer(ABC):
    """What all optimisers share: the counter, the rate, clipping and weight decay.

    Attributes
    ----------
    rate
        Learning rate as a function of the number of updates so far.
    clip_norm
        Largest norm of all gradients together; longer ones are scaled down. None for no limit.
    weight_decay
        Factor of the weights in the update, see each optimiser.
    """

    rate: Schedule = field(converter=_schedule)
    clip_norm: float | None = field(default=None, validator=_positive)
    weight_decay: float = 0.0

    @property
    @abstractmethod
    def slots(self) -> tuple[str, ...]:
        """Names of the arrays kept for each parameter."""

    @abstractmethod
    def direction(
        self, grad: Any, param: Any, slots: Arrays, count: Any
    ) -> tuple[Any, dict[str, Any]]:
        """Return what is subtracted, before the rate, and the new slots.

        ``count`` is the number of this update, from 1, as a floating-point scalar.
        """

    def init(self, params: Arrays) -> dict[str, np.ndarray[Any, Any]]:
        """Return the state before the first update: ``step`` and ``slot.path`` entries."""
        state: dict[str, np.ndarray[Any, Any]] = {"step": np.zeros((), np.int32)}
        for slot in self.slots:
            for path, param in params.items():
                type = type_of(param)
                state[f"{slot}.{path}"] = np.zeros(type.shape, type.dtype.numpy())
        return state

    def update(
        self, grads: Arrays, state: Arrays, params: Arrays
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the parameters and the state after one update; what has no gradient stays."""
        if not grads:
            return dict(params), dict(state)
        new_params, new_state = dict(params), dict(state)
        new_state["step"] = xp.add(state["step"], 1)
        dtype = type_of(next(iter(grads.values()))).dtype
        step = xp.astype(state["step"], dtype)
        count, rate = xp.add(step, 1), self.rate(step)
        for path, grad in clipped(grads, self.clip_norm).items():
            held = {slot: state[f"{slot}.{path}"] for slot in self.slots}
            change, kept = self.direction(grad, params[path], held, count)
            new_params[path] = xp.subtract(params[path], xp.multiply(rate, change))
            new_state.update({f"{slot}.{path}": x for slot, x in kept.items()})
        return new_params, new_state


def clipped(grads: Arrays, limit: float | None) -> dict[str, Any]:
    """Return the gradients scaled so that their norm, over all of them, is at most ``limit``."""
    if limit is None:
        return dict(grads)
    total: Any = 0.0
    for grad in grads.values():
        total = xp.add(total, xp.sum(xp.square(grad)))
    scale = xp.divide(limit, xp.maximum(xp.sqrt(total), limit))
    return {path: xp.multiply(scale, grad) for path, grad in grads.items()}


# -- optimisers ----------------------------------------------------------------------------
@frozen(kw_only=True)
class SGD(Optimizer):
    """Gradient descent with momentum, see `sgd`."""

    momentum: float = 0.0
    nesterov: bool = False

    @property
    def slots(self) -> tuple[str, ...]:
        """Momentum, if there is any."""
        return ("momentum",) if self.momentum else ()

    def direction(
        self, grad: Any, param: Any, slots: Arrays, count: Any
    ) -> tuple[Any, dict[str, Any]]:
        """Return the momentum, or the gradient looked at ahead of it."""
        if self.weight_decay:
            grad = xp.add(grad, self.weight_decay * param)
        if not self.momentum:
            return grad, {}
        momentum = self.momentum * slots["momentum"] + grad
        ahead = grad + self.momentum * momentum if self.nesterov else momentum
        return ahead, {"momentum": momentum}


@frozen(kw_only=True)
class Adam(Optimizer):
    """Adam with decoupled weight decay, see `adam` and `adamw`."""

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    @property
    def slots(self) -> tuple[str, ...]:
        """Running means of the gradient and of its square."""
        return ("m", "v")

    def direction(
        self, grad: Any, param: Any, slots: Arrays, count: Any
    ) -> tuple[Any, dict[str, Any]]:
        """Return the corrected mean over the root of the corrected mean square."""
        m = self.beta1 * slots["m"] + (1 - self.beta1) * grad
        v = self.beta2 * slots["v"] + (1 - self.beta2) * xp.square(grad)
        m_hat = xp.divide(m, _weight_so_far(self.beta1, count))
        v_hat = xp.divide(v, _weight_so_far(self.beta2, count))
        change = m_hat / (xp.sqrt(v_hat) + self.eps)
        if self.weight_decay:
            change = change + self.weight_decay * param
        return change, {"m": m, "v": v}


def _weight_so_far(beta: float, count: Any) -> Any:
    """Return ``1 - beta**count``, exact also where ``beta`` is close to 1 in single precision."""
    return xp.negative(xp.expm1(xp.multiply(log(beta) if beta > 0 else -inf, count)))


@frozen(kw_only=True)
class RMSProp(Optimizer):
    """Gradients divided by their running root mean square, see `rmsprop`."""

    decay: float = 0.9
    eps: float = 1e-8
    momentum: float = 0.0

    @property
    def slots(self) -> tuple[str, ...]:
        """The running mean square, and momentum if there is any."""
        return ("v", "momentum") if self.momentum else ("v",)

    def direction(
        self, grad: Any, param: Any, slots: Arrays, count: Any
    ) -> tuple[Any, dict[str, Any]]:
        """Return the gradient over its root mean square, or the momentum of that."""
        if self.weight_decay:
            grad = xp.add(grad, self.weight_decay * param)
        v = self.followed(slots["v"], xp.square(grad))
        change = grad / (xp.sqrt(v) + self.eps)
        if not self.momentum:
            return change, {"v": v}
        momentum = self.momentum * slots["momentum"] + change
        return momentum, {"v": v, "momentum": momentum}

    def followed(self, v: Any, square: Any) -> Any:
        """Return the running mean square."""
        return self.decay * v + (1 - self.decay) * square


@frozen(kw_only=True)
class RMaxProp(RMSProp):
    """Gradients divided by their largest magnitude of late, see `rmaxprop`."""

    def followed(self, v: Any, square: Any) -> Any:
        """Return the largest square so far, which fades."""
        return xp.maximum(self.decay * v, square)


def sgd(
    learning_rate: float | Schedule, momentum: float = 0.0, nesterov: bool = False,
    weight_decay: float = 0.0, *, clip_norm: float | None = None,
) -> SGD:  # fmt: skip
    r"""Return gradient descent: $m' = \mu m + g + \lambda\theta$, $\theta' = \theta - \eta m'$.

    With ``nesterov`` the step is $\eta (g + \mu m')$ (Sutskever et al., ICML 2013).
    """
    return SGD(
        rate=learning_rate, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay,
        clip_norm=clip_norm,
    )  # fmt: skip


def adam(
    learning_rate: float | Schedule, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8,
    *, clip_norm: float | None = None,
) -> Adam:  # fmt: skip
    r"""Return Adam: $\theta' = \theta - \eta\,\hat m/(\sqrt{\hat v}+\epsilon)$.

    Kingma & Ba, "Adam: a method for stochastic optimization", ICLR 2015.
    """
    return Adam(rate=learning_rate, beta1=beta1, beta2=beta2, eps=eps, clip_norm=clip_norm)


def adamw(
    learning_rate: float | Schedule, weight_decay: float = 1e-4, beta1: float = 0.9,
    beta2: float = 0.999, eps: float = 1e-8, *, clip_norm: float | None = None,
) -> Adam:  # fmt: skip
    r"""Return Adam with decoupled weight decay, a further $-\eta\lambda\theta$.

    Loshchilov & Hutter, "Decoupled weight decay regularization", ICLR 2019.
    """
    return Adam(
        rate=learning_rate, beta1=beta1, beta2=beta2, eps=eps, weight_decay=weight_decay,
        clip_norm=clip_norm,
    )  # fmt: skip


def rmsprop(
    learning_rate: float | Schedule, decay: float = 0.9, eps: float = 1e-8, momentum: float = 0.0,
    weight_decay: float = 0.0, *, clip_norm: float | None = None,
) -> RMSProp:  # fmt: skip
    r"""Return RMSProp: gradients over the root of their running mean square.

    $v' = \rho v + (1-\rho) g^2$ and $\theta' = \theta - \eta g / (\sqrt{v'} + \epsilon)$.
    Tieleman & Hinton, "Lecture 6.5: rmsprop", 2012.
    """
    return RMSProp(
        rate=learning_rate, decay=decay, eps=eps, momentum=momentum, weight_decay=weight_decay,
        clip_norm=clip_norm,
    )  # fmt: skip


def rmaxprop(
    learning_rate: float | Schedule, decay: float = 0.9, eps: float = 1e-8, momentum: float = 0.0,
    weight_decay: float = 0.0, *, clip_norm: float | None = None,
) -> RMaxProp:  # fmt: skip
    r"""Return RMaxProp, the rates of each parameter that SuperSpike is published with.

    $v' = \max(\rho v, g^2)$ and $\theta' = \theta - \eta g / (\sqrt{v'} + \epsilon)$. Without
    momentum no step is longer than $\eta$; after a rare large gradient steps are short for a while.
    Zenke & Ganguli, "SuperSpike", Neural Computation 30:1514, 2018.
    """
    return RMaxProp(
        rate=learning_rate, decay=decay, eps=eps, momentum=momentum, weight_decay=weight_decay,
        clip_norm=clip_norm,
    )  # fmt: skip


NAMES: dict[str, Callable[..., Optimizer]] = {
    "sgd": sgd, "adam": adam, "adamw": adamw, "rmsprop": rmsprop, "rmaxprop": rmaxprop
}  # fmt: skip


def available() -> list[str]:
    """Return the names of the optimisers."""
    return list(NAMES)


def get(optimizer: Any) -> Any:
    """Return an optimiser for its name, with a rate of 1e-3, or the object itself.

    Raises
    ------
    ModelError
        If there is none of that name, or the object is no optimiser.
    """
    if isinstance(optimizer, str):
        if optimizer.lower() not in NAMES:
            raise ModelError(f"no optimizer {optimizer!r}{nearest(optimizer, list(NAMES))}")
        return NAMES[optimizer.lower()](1e-3)
    methods = [getattr(optimizer, n, None) for n in ("init", "update")]
    if all(map(callable, methods)) and not isinstance(optimizer, type):
        return optimizer
    raise ModelError(
        compose(f"an optimizer is a name or an object of etp.optim, got {type(optimizer).__name__}",
                how="write for example optimizer=etp.optim.adam(1e-3)")
    )  # fmt: skip
