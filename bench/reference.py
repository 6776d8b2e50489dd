"""The estimators to the letter, in float64 NumPy: every trace materialised, every step walked.

Slow and plain on purpose. A contender's gradient is compared with the estimator it claims to
compute before its time is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .cases import (
    LEAK,
    MEMBRANE_DECAY,
    PP_PROP_DECAY,
    SYNAPSE_DECAY,
    THRESHOLD,
    Arrays,
    Case,
)

ESTIMATORS = ("bptt", "window0", "window1")


@dataclass(frozen=True)
class Influence:
    """How a weight enters the state: its input ``x`` ``(B, I)``, ``u`` = dh'/dy ``(S, B, n)``."""

    x: np.ndarray
    u: np.ndarray


class Cell(Protocol):
    """One recurrent layer. A state is one array ``(S, B, n)``; a step leaves a ``memo``."""

    states: int

    def step(self, p: Arrays, state: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, Any]:
        """Return the next state and the memo."""

    def pullback(self, p: Arrays, memo: Any, signal: np.ndarray) -> tuple[np.ndarray, Arrays]:
        """Return the exact vjp of the step: to the previous state, and to the parameters."""

    def transition(self, memo: Any) -> np.ndarray:
        """Return ``D`` ``(S, S, B, n)``: dh'/dh position by position, products cut out."""

    def influences(self, memo: Any) -> dict[str, Influence]:
        """Return the traced weights; every other parameter has its direct gradient only."""

    def visible(self, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what the readout sees ``(B, n)``, and its derivative by each state."""


class Leaky:
    """``h' = (1-a) h + a tanh(x W_in + h W_rec + b)``."""

    states = 1

    def step(self, p: Arrays, state: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, Any]:
        (h,) = state
        c = np.tanh(x @ p["w_in"] + h @ p["w_rec"] + p["b"])
        return ((1 - LEAK) * h + LEAK * c)[None], (x, h, LEAK * (1 - c * c))

    def pullback(self, p: Arrays, memo: Any, signal: np.ndarray) -> tuple[np.ndarray, Arrays]:
        x, h, u = memo
        d = u * signal[0]
        back = (1 - LEAK) * signal[0] + d @ p["w_rec"].T
        return back[None], {"w_in": x.T @ d, "w_rec": h.T @ d, "b": d.sum(0)}

    def transition(self, memo: Any) -> np.ndarray:
        return np.full_like(memo[2], 1 - LEAK)[None, None]

    def influences(self, memo: Any) -> dict[str, Influence]:
        x, h, u = memo
        inputs = {"w_in": x, "w_rec": h, "b": np.ones((len(x), 1))}
        return {name: Influence(value, u[None]) for name, value in inputs.items()}

    def visible(self, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return state[0], np.ones_like(state)


class GRU:
    """Reset before the product; the reset gate reaches the state through another product only."""

    states = 1

    def step(self, p: Arrays, state: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, Any]:
        (h,) = state
        z = _sigmoid(x @ p["z.w_in"] + h @ p["z.w_rec"] + p["z.b"])
        r = _sigmoid(x @ p["r.w_in"] + h @ p["r.w_rec"] + p["r.b"])
        c = np.tanh(x @ p["h.w_in"] + (r * h) @ p["h.w_rec"] + p["h.b"])
        return ((1 - z) * h + z * c)[None], (x, h, z, r, c)

    def pullback(self, p: Arrays, memo: Any, signal: np.ndarray) -> tuple[np.ndarray, Arrays]:
        x, h, z, r, c = memo
        d_z = signal[0] * (c - h) * z * (1 - z)
        d_h = signal[0] * z * (1 - c * c)
        d_rh = d_h @ p["h.w_rec"].T
        d_r = d_rh * h * r * (1 - r)
        back = signal[0] * (1 - z) + d_z @ p["z.w_rec"].T + d_r @ p["r.w_rec"].T + d_rh * r
        grads: Arrays = {}
        for gate, d, inner in (("z", d_z, h), ("r", d_r, h), ("h", d_h, r * h)):
            grads |= {f"{gate}.w_in": x.T @ d, f"{gate}.w_rec": inner.T @ d, f"{gate}.b": d.sum(0)}
        return back[None], grads

    def transition(self, memo: Any) -> np.ndarray:
        return (1 - memo[2])[None, None]

    def influences(self, memo: Any) -> dict[str, Influence]:
        x, h, z, r, c = memo
        found: dict[str, Influence] = {}
        gates = (("z", h, (c - h) * z * (1 - z)), ("h", r * h, z * (1 - c * c)))
        for gate, inner, u in gates:
            inputs = {"w_in": x, "w_rec": inner, "b": np.ones((len(x), 1))}
            found |= {f"{gate}.{k}": Influence(value, u[None]) for k, value in inputs.items()}
        return found

    def visible(self, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return state[0], np.ones_like(state)


class LIF:
    """Current ``i`` and potential ``v``; the new current drives the new potential in the step."""

    states = 2

    def step(self, p: Arrays, state: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, Any]:
        i, v = state
        s, slope = _spike(v)
        i = SYNAPSE_DECAY * i + x @ p["w_in"] + s @ p["w_rec"]
        v = MEMBRANE_DECAY * v + (1 - MEMBRANE_DECAY) * i - THRESHOLD * s
        return np.stack([i, v]), (x, s, slope)

    def pullback(self, p: Arrays, memo: Any, signal: np.ndarray) -> tuple[np.ndarray, Arrays]:
        x, s, slope = memo
        d_i = signal[0] + (1 - MEMBRANE_DECAY) * signal[1]
        d_s = d_i @ p["w_rec"].T - THRESHOLD * signal[1]
        back = np.stack([SYNAPSE_DECAY * d_i, MEMBRANE_DECAY * signal[1] + slope * d_s])
        return back, {"w_in": x.T @ d_i, "w_rec": s.T @ d_i}

    def transition(self, memo: Any) -> np.ndarray:
        slope = memo[2]
        one = np.ones_like(slope)
        to_i = np.stack([SYNAPSE_DECAY * one, 0 * one])
        drive = (1 - MEMBRANE_DECAY) * SYNAPSE_DECAY
        to_v = np.stack([drive * one, MEMBRANE_DECAY - THRESHOLD * slope])
        return np.stack([to_i, to_v])

    def influences(self, memo: Any) -> dict[str, Influence]:
        x, s, slope = memo
        u = np.stack([np.ones_like(slope), np.full_like(slope, 1 - MEMBRANE_DECAY)])
        return {"w_in": Influence(x, u), "w_rec": Influence(s, u)}

    def visible(self, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        spikes, slope = _spike(state[1])
        return spikes, np.stack([np.zeros_like(slope), slope])


CELLS: dict[str, Cell] = {"leaky": Leaky(), "gru": GRU(), "lif": LIF()}


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _spike(v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x = v - THRESHOLD
    return (x > 0).astype(v.dtype), 1 / (1 + (np.pi * x) ** 2)


class PerParameterTrace:
    """D-RTRL: ``e' = D e + u x``, one entry for each example and weight."""

    def __init__(self) -> None:
        self.traces: Arrays = {}

    def advance(self, transition: np.ndarray, influences: dict[str, Influence]) -> None:
        for name, to in influences.items():
            fresh = np.einsum("bi,sbo->sbio", to.x, to.u)
            old = self.traces.get(name)
            if old is None:
                self.traces[name] = fresh
            elif len(to.u) == 1:
                old *= transition[0][:, :, None, :]
                old += fresh
            else:
                self.traces[name] = np.einsum("stbo,tbio->sbio", transition, old) + fresh

    def contract(self, signal: np.ndarray) -> Arrays:
        return {name: np.einsum("sbo,sbio->io", signal, e) for name, e in self.traces.items()}


class FactorisedTrace:
    """pp-prop: ``e_x' = k e_x + x``, ``e_f' = k D e_f + (1-k) u``, contracted over ``1 - k^t``."""

    def __init__(self) -> None:
        self.steps = 0
        self.x: Arrays = {}
        self.f: Arrays = {}

    def advance(self, transition: np.ndarray, influences: dict[str, Influence]) -> None:
        self.steps += 1
        k = PP_PROP_DECAY
        for name, to in influences.items():
            e_x, e_f = self.x.get(name, 0 * to.x), self.f.get(name, 0 * to.u)
            self.x[name] = k * e_x + to.x
            self.f[name] = k * np.einsum("stbo,tbo->sbo", transition, e_f) + (1 - k) * to.u

    def contract(self, signal: np.ndarray) -> Arrays:
        scale = 1 / (1 - PP_PROP_DECAY**self.steps) if self.steps else 0.0
        return {k: self.x[k].T @ (signal * self.f[k]).sum(0) * scale for k in self.x}


def gradient(
    case: Case, params: Arrays, xs: np.ndarray, ys: np.ndarray, estimator: str
) -> tuple[float, Arrays]:
    """Return the loss and the gradient of one estimator (see ``ESTIMATORS``), float64.

    ``window0`` contracts the signal with the trace of the same step; ``window1`` differentiates
    the step exactly and contracts what reaches its entry with the trace of the step before.
    """
    cell = CELLS[case.model]
    p = {name: value.astype(np.float64) for name, value in params.items()}
    grads = {name: np.zeros_like(value) for name, value in p.items()}
    trace = FactorisedTrace() if case.rule == "pp_prop" else PerParameterTrace()
    state = np.zeros((cell.states, case.batch, case.n))
    loss, tape = 0.0, []

    def accumulate(part: Arrays) -> None:
        for name, value in part.items():
            grads[name] += value.reshape(grads[name].shape)

    for x, y in zip(xs.astype(np.float64), ys.astype(np.float64), strict=True):
        state, memo = cell.step(p, state, x)
        seen, slopes = cell.visible(state)
        error = seen @ p["out.w"] + p["out.b"] - y
        loss += float((error * error).sum())
        accumulate({"out.w": seen.T @ (2 * error), "out.b": (2 * error).sum(0)})
        signal = (2 * error @ p["out.w"].T) * slopes
        if estimator == "bptt":
            tape.append((memo, signal))
            continue
        back, direct = cell.pullback(p, memo, signal)
        if estimator == "window1":
            accumulate(direct)
            accumulate(trace.contract(back))
        influences = cell.influences(memo)
        trace.advance(cell.transition(memo), influences)
        if estimator == "window0":
            accumulate({name: value for name, value in direct.items() if name not in influences})
            accumulate(trace.contract(signal))

    adjoint = np.zeros_like(state)
    for memo, signal in reversed(tape):
        adjoint, direct = cell.pullback(p, memo, signal + adjoint)
        accumulate(direct)
    return loss, grads
