"""SuperSpike on LIF neurons with target spike trains."""

from __future__ import annotations

import numpy as np

from .record import Record
from .spiking import Now


class SuperSpike:
    """R35, Zenke & Ganguli 2018.

    The postsynaptic potential ε * S is the derivative of v: z̄ ← β z̄ + x. λ = α * (ψ z̄) and
    e = α * (Ŝ - S) with one double exponential α of two filters of unit sum:
    r ← a r + (1 - a) s;  α*s: d ← b d + (1 - b) r (the new r).
    The descent gradient is g = -(B e) λ; B = I for the neurons that have targets (feedback None).
    Per-weight rate: u ← max(c u, g²); ``scaled`` = g / √u (0 where u is 0), the paper's RMaxProp.
    Draws are the target spikes Ŝ (n,), or (o,) with a feedback (n, o) and outputs z[:o].
    """

    def __init__(
        self, rise: float, decay: float, feedback: np.ndarray | None = None, forget: float = 0.99
    ) -> None:
        self.a, self.b, self.forget, self.feedback = rise, decay, forget, feedback
        self.state: dict[str, np.ndarray | float] = {}

    def double(self, name: str, s: np.ndarray) -> np.ndarray:
        r, d = self.state.get(f"{name}:rise", 0.0), self.state.get(f"{name}:decay", 0.0)
        r = self.a * r + (1 - self.a) * s
        self.state[f"{name}:rise"] = r
        self.state[f"{name}:decay"] = self.b * d + (1 - self.b) * r
        return self.state[f"{name}:decay"]

    def step(self, now: Now, wanted: np.ndarray) -> Record:
        e = self.double("error", wanted - now.z[: len(wanted)])
        signal = -e if self.feedback is None else -(self.feedback @ e)
        grads, scaled = {}, {}
        for name, pre in (("w_in", now.x), ("w_rec", now.before)):
            zbar = now.net.beta * self.state.get(f"zbar:{name}", 0.0) + pre
            self.state[f"zbar:{name}"] = zbar
            grads[name] = signal * self.double(f"lambda:{name}", np.outer(zbar, now.psi))
            u = np.maximum(self.forget * self.state.get(f"max:{name}", 0.0), grads[name] ** 2)
            self.state[f"max:{name}"] = u
            scaled[f"scaled:{name}"] = grads[name] / np.sqrt(np.where(u > 0, u, 1))
        return Record({**self.state, **scaled}, signal, grads)
