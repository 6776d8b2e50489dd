"""Points of the rule language on the leaky tanh network, by sums over the past.

Nothing is carried from step to step here: every filter is its closed kernel, and every trace a sum
over all earlier steps.
"""

from __future__ import annotations

from math import comb
from typing import Any

import numpy as np

import etp
from etp.filters import Cascade, DoubleExponential, GammaLambda, KappaFilter, PresynapticTrace
from etp.rules.points import Factorised, Jacobian, Leak, STDPPair
from tests.rules.twins import leaky_tanh


def kernel(part: Any, length: int) -> np.ndarray:
    """Return the weights of what was 0, 1, ... steps ago."""
    k = np.arange(length)
    match part:
        case None:
            return (k == 0) * 1.0
        case KappaFilter(kappa=a):
            return (1 - a) * a**k
        case PresynapticTrace(decay=a) | Leak(decay=a):
            return a**k
        case GammaLambda(discount=g, decay=a):
            return (g * a) ** k
        case Cascade(order=q, decay=a):
            return np.array([comb(i + q, q) * a**i * (1 - a) ** (q + 1) for i in k])
        case DoubleExponential(rise=r, decay=d):
            return np.array([(1 - r) * (1 - d) * sum(r**j * d ** (i - j) for j in range(i + 1))
                             for i in k])  # fmt: skip
    raise AssertionError(part)


def filtered(part: np.ndarray, xs: np.ndarray) -> np.ndarray:
    """Return sums over the past, for every step."""
    return np.array([
        sum(part[t - s] * xs[s] for s in range(t + 1)) for t in range(len(xs))
    ])  # fmt: skip


def gradients(
    config: etp.RuleConfig, net: leaky_tanh.Net, xs: np.ndarray, ys: np.ndarray,
    feedback: np.ndarray | None, modulator: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Return the gradient of ``w`` in every step, (T, inputs, units)."""
    h, steps = np.zeros(net.n), []
    for x, y in zip(xs, ys, strict=True):
        steps.append(net.now(h, x, y))
        h = steps[-1].h
    length = len(xs)
    a, u = np.array([s.a for s in steps]), np.array([s.D for s in steps])
    q = np.array([s.q if feedback is None else feedback @ s.err for s in steps])
    pair, product = isinstance(config.pre, STDPPair), isinstance(config.storage, Factorised)
    pre = PresynapticTrace(config.pre.pre) if pair else config.pre
    x = filtered(kernel(pre, length), a)
    e = u if product else x[:, :, None] * u[:, None, :]
    if pair:
        late = filtered(config.pre.post ** np.arange(length), u)
        late = np.concatenate([np.zeros_like(late[:1]), late[:-1]])
        e = config.pre.causal * e + config.pre.acausal * a[:, :, None] * late[:, None, :]
    recursion = config.recursion
    if isinstance(recursion, Jacobian):
        # All units have the same leak, and the weights are cut out of the transition.
        e = filtered((recursion.decay * (1 - net.alpha)) ** np.arange(length), e)
    else:
        e = filtered(kernel(recursion, length), e)
    late = config.outer if isinstance(config.outer, GammaLambda) else None
    outer = None if late else config.outer
    e = filtered(kernel(outer, length), filtered(kernel(config.post, length), e))
    if getattr(recursion, "average", False):
        t = np.arange(1, length + 1).reshape(-1, *[1] * (e.ndim - 1))
        e = e * (1 - recursion.decay) / (1 - recursion.decay**t)
    found = x[:, :, None] * (q * e)[:, None, :] if product else q[:, None, :] * e
    if late is None:
        return found
    fades = (late.discount * late.decay) ** np.arange(length)
    return modulator[:, None, None] * filtered(fades, found)
