"""OTTT, SLTT, S-TLLR and OTPE on stacks of LIF layers."""

from __future__ import annotations

import numpy as np

from .record import Arrays, Record
from .stacks import Now


class OTTT:
    """R37, Xiao et al. 2022: â ← λ â + s^{l-1}, g^l = â ⊗ (ψ^l ⊙ L^l), L^l spatial at this step.

    ``leak`` is the one of the neuron unless given. Modes O and A share these gradients: O applies
    the gradient after each step, A the sum of them at the end of the sequence.
    """

    def __init__(self, leak: float | None = None) -> None:
        self.leak = leak
        self.a: dict[int, np.ndarray | float] = {}

    def step(self, now: Now) -> Record:
        leak = now.net.leak if self.leak is None else self.leak
        signals, grads, traces = now.spatial(), {}, {}
        for k, (pre, psi, L) in enumerate(zip(now.pre, now.psi, signals, strict=True)):
            self.a[k] = leak * self.a.get(k, 0.0) + pre
            grads[f"w{k}"] = np.outer(self.a[k], psi * L)
            traces[f"a{k}"] = self.a[k]
        return Record(traces, signals, grads)


class SLTT(OTTT):
    """R38, Meng et al. 2023: g^l = s^{l-1} ⊗ (ψ^l ⊙ L^l); temporal paths are left out.

    SLTT-K takes it at K of the T steps (draws of the caller) and nothing at the others.
    """

    def __init__(self, chosen: set[int] | None = None) -> None:
        super().__init__(leak=0.0)
        self.chosen, self.t = chosen, 0

    def step(self, now: Now) -> Record:
        record, self.t = super().step(now), self.t + 1
        if self.chosen is not None and self.t - 1 not in self.chosen:
            record.grads = {name: 0 * g for name, g in record.grads.items()}
        return Record({}, record.signal, record.grads)


class STLLR:
    """R39, Apolinario & Roy 2023/25; repository defaults (λ_post, λ_pre, α_post, α_pre) below.

    x̄ ← λ_pre x̄ + x;  e = α_pre x̄ ⊗ ψ + α_post x ⊗ ψ̄_{t-1};  then ψ̄ ← λ_post ψ̄ + ψ;
    g^l = L^l e from step ``warmup`` on (counted from 0), L^l spatial.
    ``psi`` is recorded as it is after the step.
    """

    def __init__(
        self, decay_post: float = 0.5, decay_pre: float = 0.8, post: float = -0.2, pre: float = 1.0,
        warmup: int = 0,
    ) -> None:  # fmt: skip
        self.decay_post, self.decay_pre, self.post, self.pre = decay_post, decay_pre, post, pre
        self.warmup, self.t = warmup, 0
        self.x: dict[int, np.ndarray | float] = {}
        self.psi: dict[int, np.ndarray | float] = {}

    def step(self, now: Now) -> Record:
        signals, grads = now.spatial(), {}
        traces: Arrays = {}
        for k, (pre, psi, L) in enumerate(zip(now.pre, now.psi, signals, strict=True)):
            self.x[k] = self.decay_pre * self.x.get(k, 0.0) + pre
            before = self.psi.get(k, np.zeros(len(psi)))
            e = self.pre * np.outer(self.x[k], psi) + self.post * np.outer(pre, before)
            self.psi[k] = self.decay_post * before + psi
            grads[f"w{k}"] = e * L * (self.t >= self.warmup)
            traces |= {f"x{k}": self.x[k], f"e{k}": e, f"psi{k}": self.psi[k]}
        self.t += 1
        return Record(traces, signals, grads)


class OTPE:
    """R22, Summe et al. 2023, with true values: the trace of the potential advances once a step.

    E ← λ E + x (du/dW);  ds/dW = ψ E;  R̂ ← λ R̂ + ψ E, what all past spikes add to the next
    layer's potential;  g^l = L^l R̂^l.
    ḡ is the mean of ψ with weights λ^{t-s}: r ← λ r + 1, w = λ r_old / r, ḡ ← w ḡ + (1 - w) ψ
    (the ψ/λ of the published code undoes a leak in its Jacobian).
    The spatial signals go back through ḡ in place of ψ: L^{l-1} = W^l (ḡ^l ⊙ L^l).
    Of the last layer, g = L R̂ too: the published readout integrates with the leak λ. Where the
    readout has no memory, ``leaky_readout=False`` takes g = L ψ E there, as OSTL, which is exact.
    ``factorised``: R̂ ≈ x̂ ⊗ ḡ with x̄ ← λ x̄ + x, x̂ ← λ x̂ + x̄ (F-OTPE); last layer x̄ ⊗ ψ.
    """

    def __init__(self, factorised: bool = False, leaky_readout: bool = True) -> None:
        self.factorised, self.leaky_readout = factorised, leaky_readout
        self.x: dict[int, np.ndarray | float] = {}
        self.xx: dict[int, np.ndarray | float] = {}
        self.R: dict[int, np.ndarray | float] = {}
        self.g: dict[int, np.ndarray | float] = {}
        self.r = 0.0

    def step(self, now: Now) -> Record:
        leak = now.net.leak
        new = leak * self.r + 1
        w, self.r = leak * self.r / new, new
        for k, psi in enumerate(now.psi):
            self.g[k] = w * self.g.get(k, 0.0) + (1 - w) * psi
        signals = now.spatial([self.g[k] for k in range(now.net.depth)])
        grads, traces = {}, {}
        for k, (pre, psi) in enumerate(zip(now.pre, now.psi, strict=True)):
            # Every unit of a layer with one leak has the same E: it is kept per input.
            self.x[k] = leak * self.x.get(k, 0.0) + pre
            self.xx[k] = leak * self.xx.get(k, 0.0) + self.x[k]
            self.R[k] = leak * self.R.get(k, 0.0) + np.outer(self.x[k], psi)
            last = k == now.net.depth - 1 and not self.leaky_readout
            if last:
                influence = np.outer(self.x[k], psi)
            else:
                influence = np.outer(self.xx[k], self.g[k]) if self.factorised else self.R[k]
            grads[f"w{k}"] = influence * signals[k]
            kept = {"xx": self.xx[k]} if self.factorised else {"R": self.R[k]}
            traces |= {f"x{k}": self.x[k], f"g{k}": self.g[k]}
            traces |= {f"{name}{k}": value for name, value in kept.items()}
        return Record(traces, signals, grads)
