"""e-prop on LIF and ALIF: feedback, κ filter, firing-rate term, reward."""

from __future__ import annotations

import numpy as np

from .record import Record
from .spiking import Now


class EProp:
    """R30 to R32 and R34, Bellec et al. 2020.

    z̄ ← β z̄ + x (presynaptic, without a factor 1 - β: the derivative of v);
    e = ψ_t (z̄ - γ ε);  ε ← ρ ε + e, after use: ``eps`` is the one that the next step uses;
    ē ← κ ē + (1 - κ) e;  L = B err with err = dL/dy and B = W_out (n, o), or given, or the weight
    ``feedback`` of the net where it has one (adaptive: trained by the gradient of W_out);
    g = L ē + c (f̄ - f*) e, with the unfiltered e and f̄ ← a_f f̄ + (1 - a_f) z of this step.
    The recurrent weights read z_{t-1}. κ is the filter of the rule, equal to the readout's by
    choice; with a readout y = κ y + z W (no 1 - κ) the sum of g is 1 - κ times the derivative.

    ``reward``: g_t = δ_t F with F ← γ_r F + g, the draws being δ_t (R34).
    """

    def __init__(
        self, kappa: float, feedback: np.ndarray | None = None, *, rate: float = 0.0,
        target_rate: float = 0.0, rate_decay: float = 0.9, reward: float | None = None,
    ) -> None:  # fmt: skip
        self.kappa, self.feedback, self.reward = kappa, feedback, reward
        self.rate, self.target_rate, self.rate_decay = rate, target_rate, rate_decay
        self.zbar = {"w_in": 0.0, "w_rec": 0.0}
        self.eps = {"w_in": 0.0, "w_rec": 0.0}
        self.ebar = {"w_in": 0.0, "w_rec": 0.0}
        self.credit = {"w_in": 0.0, "w_rec": 0.0}
        self.f = 0.0

    def step(self, now: Now, draw: float | None = None) -> Record:
        net, traces, grads = now.net, {}, {}
        B = self.feedback
        if B is None:
            B = net.weights.get("feedback", net.weights["w_out"])
        L = B @ now.err
        self.f = self.rate_decay * self.f + (1 - self.rate_decay) * now.z
        for name, pre in (("w_in", now.x), ("w_rec", now.before)):
            self.zbar[name] = net.beta * self.zbar[name] + pre
            e = now.psi * (np.asarray(self.zbar[name])[:, None] - net.gamma * self.eps[name])
            used = self.eps[name] * np.ones(e.shape)
            self.eps[name] = net.rho * self.eps[name] + e
            self.ebar[name] = self.kappa * self.ebar[name] + (1 - self.kappa) * e
            g = L * self.ebar[name] + self.rate * (self.f - self.target_rate) * e
            if self.reward is not None:
                self.credit[name] = self.reward * self.credit[name] + g
                g = draw * self.credit[name]
                traces[f"credit:{name}"] = self.credit[name]
            grads[name] = g
            traces |= {
                f"zbar:{name}": self.zbar[name], f"e:{name}": e, f"used:{name}": used,
                f"eps:{name}": self.eps[name], f"ebar:{name}": self.ebar[name],
            }  # fmt: skip
        return Record({**traces, "rate": self.f}, L, grads)


class DRTRL:
    """R15 on ALIF: the 2 × 2 block of (v, a) at each neuron; reset and W_rec are not followed.

    ε_v ← β ε_v + x;  ε_a ← ρ ε_a + ψ_{t-1} (ε_v - γ ε_a) with what both were at t - 1;
    g = q ψ_t (ε_v - γ ε_a), q = W_out err.
    """

    def __init__(self) -> None:
        self.v = {"w_in": 0.0, "w_rec": 0.0}
        self.a = {"w_in": 0.0, "w_rec": 0.0}

    def step(self, now: Now, draw: None = None) -> Record:
        net, traces, grads = now.net, {}, {}
        for name, pre in (("w_in", now.x), ("w_rec", now.before)):
            every = np.ones((len(pre), net.n))
            v, a = self.v[name] * every, self.a[name] * every
            self.a[name] = net.rho * a + now.psi_before * (v - net.gamma * a)
            self.v[name] = net.beta * v + pre[:, None]
            grads[name] = now.q * now.psi * (self.v[name] - net.gamma * self.a[name])
            traces |= {f"v:{name}": self.v[name], f"a:{name}": self.a[name]}
        return Record(traces, now.q, grads)
