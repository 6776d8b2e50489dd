"""One number per weight: D-RTRL, RFLO, pp-prop, three factors, cascaded traces."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .leaky_tanh import Now
from .record import Record


class DRTRL:
    """R15, Wang et al. 2026: E ← (1 - α) E + D ⊗ â; g = q ⊙ E.

    The recurrence through W is not followed, so that the diagonal is the leak.
    """

    def __init__(self) -> None:
        self.e = 0.0

    def advance(self, now: Now) -> None:
        self.e = (1 - now.net.alpha) * self.e + np.outer(now.a, now.D)

    def signal(self, now: Now) -> np.ndarray:
        return now.q

    def step(self, now: Now, draw: None = None) -> Record:
        self.advance(now)
        ell = self.signal(now)
        return Record({"e": self.e}, ell, {"w": self.e * ell})


class RFLO(DRTRL):
    """R17, Murray 2019: B ← (1 - α) B + α φ' ⊗ â; g_ji = (B_fb err)_i B_ji, err = dL/dy.

    ``feedback`` (n, o) is fixed and random; None is W_out, the symmetric signal. Murray's error is
    y* - y; here it is the gradient of the loss, which for a mean over o outputs is 2 (y - y*) / o.
    """

    def __init__(self, feedback: np.ndarray | None = None) -> None:
        super().__init__()
        self.feedback = feedback

    def signal(self, now: Now) -> np.ndarray:
        return now.q if self.feedback is None else self.feedback @ now.err


class PPProp:
    """R16, Wang et al. 2026 (ES-D-RTRL), with separate decays and bias correction.

    ε_x ← a_x ε_x + â;  ε_f ← a_f (1 - α) ε_f + (1 - a_f) D;  g = ε_x ⊗ (q ⊙ ε_f) / (1 - a_f^t)
    where t counts steps from 1. The correction belongs to ε_f, the one filter with (1 - a_f).
    """

    def __init__(self, decay_x: float, decay_f: float, corrected: bool = True) -> None:
        self.ax, self.af, self.corrected = decay_x, decay_f, corrected
        self.x, self.f, self.t = 0.0, 0.0, 0

    def step(self, now: Now, draw: None = None) -> Record:
        self.t += 1
        self.x = self.ax * self.x + now.a
        self.f = self.af * (1 - now.net.alpha) * self.f + (1 - self.af) * now.D
        scale = 1 - self.af**self.t if self.corrected and self.af > 0 else 1.0
        gradient = np.outer(self.x, self.f * now.q) / scale
        return Record({"x": self.x, "f": self.f}, now.q, {"w": gradient})


class ThreeFactor(DRTRL):
    """R55: g_ji = Φ(m_t)_i E_ji, the modulator a number, or one per unit; Φ is the identity."""

    def __init__(self, phi: Callable[[np.ndarray], np.ndarray] = np.asarray) -> None:
        super().__init__()
        self.phi = phi

    def step(self, now: Now, draw: np.ndarray) -> Record:  # type: ignore[override]
        self.advance(now)
        modulator = self.phi(draw) * np.ones(now.net.n)
        return Record({"e": self.e}, modulator, {"w": self.e * modulator})


class CET(DRTRL):
    """R61, cascaded eligibility traces (arXiv 2506.14598), over the trace of D-RTRL.

    z⁰ = E_t;  z^k ← a z^k + (1 - a) z^{k-1} (already new), k = 1 … order + 1;  g = q z^{order+1}.
    The kernel of the last is ∝ s^order e^{-order s / T}, greatest at delay T: a = e^{-order / T}.
    """

    def __init__(self, order: int, peak: float) -> None:
        super().__init__()
        self.a = np.exp(-order / peak)
        self.z: list[np.ndarray | float] = [0.0] * (order + 1)

    def step(self, now: Now, draw: None = None) -> Record:
        self.advance(now)
        inner = self.e
        for k in range(len(self.z)):
            self.z[k] = self.a * self.z[k] + (1 - self.a) * inner
            inner = self.z[k]
        traces = {"e": self.e, **{f"z{k + 1}": z for k, z in enumerate(self.z)}}
        return Record(traces, now.q, {"w": inner * now.q})
