"""The home models of the hand-written twins, as models of the package, and their comparison."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

import etp
from etp import xp

from .twins import leaky_tanh, ostl, spiking, stacks, two_states
from .twins.record import Record

Arrays = Mapping[str, np.ndarray]


class LeakyTanh(etp.Module):
    """Home (a)."""

    def __init__(self, net: leaky_tanh.Net) -> None:
        weights = net.weights
        self.w, self.w_out, self.b = (etp.Param(weights[k].copy()) for k in ("w", "w_out", "b"))
        self.alpha, self.h = net.alpha, etp.State((net.n,))
        self.mask = None if net.mask.all() else net.mask

    def __call__(self, x: Any) -> Any:
        h, w = self.h.value, self.w
        a = xp.concat([h, x, np.ones(1)])
        u = etp.matmul(a, w if self.mask is None else self.mask * w)
        self.h.value = (1 - self.alpha) * h + self.alpha * xp.tanh(u)
        return etp.matmul(self.h.value, self.w_out, self.b)


class Spiking(etp.Module):
    """Homes (b) and (c), with the state ``a`` only where it acts and ``y`` where it is leaky."""

    def __init__(self, net: spiking.Net) -> None:
        self.w_in, self.w_rec, self.w_out, self.b = (
            etp.Param(net.weights[k].copy()) for k in ("w_in", "w_rec", "w_out", "b")
        )
        self.beta, self.threshold, self.rho = net.beta, net.threshold, net.rho
        self.gamma, self.kappa, self.mask = net.gamma, net.kappa, net.connected
        self.v = etp.State((net.n,))
        if self.gamma:
            self.a = etp.State((net.n,))
        if self.kappa:
            self.y = etp.State((len(net.weights["b"]),))

    def spikes(self) -> Any:
        raised = self.gamma * self.a.value if self.gamma else 0.0
        return etp.spike(self.v.value - self.threshold - raised, "fast_sigmoid")

    def __call__(self, x: Any) -> Any:
        z = self.spikes()
        reset = self.threshold * etp.stop_gradient(z)
        w_rec = self.w_rec if self.mask is None else self.mask * self.w_rec
        drive = etp.matmul(x, self.w_in) + etp.matmul(z, w_rec)
        if self.gamma:
            self.a.value = self.rho * self.a.value + z
        self.v.value = self.beta * self.v.value + drive - reset
        out = etp.matmul(self.spikes(), self.w_out, self.b)
        if not self.kappa:
            return out
        self.y.value = self.kappa * self.y.value + out
        return self.y.value


class LIFLayer(etp.Module):
    """One layer of `Stack`."""

    def __init__(self, w: np.ndarray, leak: float, threshold: float) -> None:
        self.w, self.leak, self.threshold = etp.Param(w.copy()), leak, threshold
        self.v = etp.State((w.shape[1],))

    def spikes(self) -> Any:
        return etp.spike(self.v.value - self.threshold, "fast_sigmoid")

    def __call__(self, x: Any) -> Any:
        reset = self.threshold * etp.stop_gradient(self.spikes())
        self.v.value = self.leak * self.v.value + etp.matmul(x, self.w) - reset
        return self.spikes()


class Stack(etp.Module):
    """Feed-forward layers of LIF neurons; weights ``layers.0.w`` … , ``w_out``, ``b``."""

    def __init__(self, net: stacks.Stack) -> None:
        self.layers = [
            LIFLayer(net.weights[f"w{k}"], net.leak, net.threshold) for k in range(net.depth)
        ]
        self.w_out, self.b = (etp.Param(net.weights[k].copy()) for k in ("w_out", "b"))

    def __call__(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return etp.matmul(x, self.w_out, self.b)


class TanhLayer(etp.Module):
    """One layer of `Layers`."""

    def __init__(self, w: np.ndarray, alpha: float) -> None:
        self.w, self.alpha, self.h = etp.Param(w.copy()), alpha, etp.State((w.shape[1],))

    def __call__(self, x: Any) -> Any:
        h = self.h.value
        u = etp.matmul(xp.concat([h, x, np.ones(1)]), self.w)
        self.h.value = (1 - self.alpha) * h + self.alpha * xp.tanh(u)
        return self.h.value


class Layers(etp.Module):
    """Two stacked leaky tanh layers; weights ``layers.0.w``, ``layers.1.w``, ``w_out``, ``b``."""

    def __init__(self, net: ostl.Layers) -> None:
        self.layers = [TanhLayer(net.weights[f"w{k}"], net.alpha) for k in range(2)]
        self.w_out, self.b = (etp.Param(net.weights[k].copy()) for k in ("w_out", "b"))

    def __call__(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return etp.matmul(x, self.w_out, self.b)


class TwoStates(etp.Module):
    """Home (d)."""

    def __init__(self, net: two_states.Net) -> None:
        self.w_c, self.w_h, self.w_out, self.b = (
            etp.Param(net.weights[k].copy()) for k in ("w_c", "w_h", "w_out", "b")
        )
        self.f, self.g, self.eta = net.f, net.g, net.eta
        self.c, self.h = etp.State((len(net.f),)), etp.State((len(net.f),))

    def __call__(self, x: Any) -> Any:
        c, h = self.c.value, self.h.value
        self.c.value = self.f * c + etp.matmul(x, self.w_c) - self.eta * h
        self.h.value = self.g * h + xp.tanh(self.c.value) + etp.matmul(x, self.w_h)
        return etp.matmul(self.h.value, self.w_out, self.b)


HOMES: dict[type, tuple[type[etp.Module], Callable[..., list[Record]]]] = {
    leaky_tanh.Net: (LeakyTanh, leaky_tanh.run),
    spiking.Net: (Spiking, spiking.run),
    stacks.Stack: (Stack, stacks.run),
    ostl.Layers: (Layers, ostl.run),
    two_states.Net: (TwoStates, two_states.run),
}


def learner(net: Any, rule: Any, xs: np.ndarray, ys: np.ndarray, **options: Any) -> etp.Learner:
    """Return a learner for a home model, with the published contraction."""
    options = {"window": 0, "backend": "numpy", "dtype": "float64", **options}
    model = HOMES[type(net)][0](net)
    return etp.compile(model, rule, "mse", example=(xs[0], ys[0]), **options)


def streamed(
    made: etp.Learner, xs: np.ndarray, ys: np.ndarray, lr: float = 0.0, modulators: Any = None
) -> Iterator[tuple[float, Arrays, Arrays]]:
    """Yield loss, traces with what the rule shares, and gradients, without the batch axis."""
    descent = etp.optim.sgd(lr)
    for t in range(len(xs)):
        options = {} if modulators is None else {"modulator": modulators[t]}
        loss = made.step(xs[t][None], ys[t][None], optimizer=descent, **options)
        traces = {n: e[0] if e.ndim else e for n, e in made.traces.items()}
        traces |= {n: np.asarray(x) for n, x in made.rule_arrays.items()}
        yield loss, traces, {n: np.asarray(g) for n, g in made.gradients.items()}


def weight(name: str) -> str:
    """Return the path in the package of a twin's weight."""
    return f"layers.{name[1:]}.w" if name[1:].isdigit() else name


def near(got: Any, want: Any, tolerance: float, what: str) -> float:
    """Compare two arrays and return the size of what was expected."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape, f"{what}: {got.shape} is not {want.shape}"
    size = float(np.abs(want).max(initial=0.0))
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * max(size, 1), err_msg=what)
    return size
