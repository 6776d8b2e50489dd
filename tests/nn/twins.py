"""The equations of every cell written out in NumPy: what a cell computes is held against them.

A twin gets the parameters of a cell by path and the inputs of a sequence, and returns the outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from attrs import frozen

Arrays = dict[str, np.ndarray[Any, Any]]
N_IN, N = 4, 5


@frozen
class Case:
    """A cell of `etp.nn` made with some options, and its twin."""

    cell: str
    twin: Callable[[Arrays, np.ndarray[Any, Any]], list[Any]]
    options: dict[str, Any]


CASES: dict[str, Case] = {}


def case(name: str, cell: str, *, twin: dict[str, Any] | None = None, **options: Any) -> Any:
    """Add a case whose twin is the decorated function, called with ``twin`` besides."""

    def add(function: Any) -> Any:
        CASES[name] = Case(cell, lambda p, xs: function(p, xs, **(twin or {})), options)
        return function

    return add


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def relu(x: Any) -> Any:
    return np.maximum(x, 0)


def zeros(count: int) -> list[Any]:
    return [np.zeros(N) for _ in range(count)]


def gate(p: Arrays, name: str, x: Any, h: Any) -> Any:
    return x @ p[f"{name}.w_in"] + h @ p[f"{name}.w_rec"] + p.get(f"{name}.b", 0.0)


def affine(p: Arrays, name: str, x: Any) -> Any:
    return x @ p[f"{name}.weight"] + p.get(f"{name}.bias", 0.0)


# -- rate cells ----------------------------------------------------------------------------
@case("rnn", "VanillaRNNCell")
@case("leaky rnn", "VanillaRNNCell", activation="relu", leak=0.3, twin={"leak": 0.3, "phi": relu})
def vanilla(p: Arrays, xs: Any, leak: float = 1.0, phi: Any = np.tanh) -> list[Any]:
    (h,), out = zeros(1), []
    for x in xs:
        h = (1 - leak) * h + leak * phi(gate(p, "gate", x, h))
        out.append(h)
    return out


@case("elman", "ElmanCell")
@case("elman, other output", "ElmanCell", n_out=3, output="sigmoid", twin={"psi": sigmoid})
def elman(p: Arrays, xs: Any, psi: Any = np.tanh) -> list[Any]:
    (h,), out = zeros(1), []
    for x in xs:
        h = np.tanh(gate(p, "hidden.gate", x, h))
        out.append(psi(affine(p, "out", h)))
    return out


@case("jordan", "JordanCell")
@case("jordan, last output", "JordanCell", n_out=3, memory=0.0, twin={"memory": 0.0, "n_out": 3})
def jordan(p: Arrays, xs: Any, memory: float = 0.5, n_out: int = N) -> list[Any]:
    past, out = [np.zeros(n_out)], []
    for x in xs:
        context = sum(memory**k * y for k, y in enumerate(reversed(past)))
        hidden = np.tanh(gate(p, "hidden", x, context))
        out.append(np.tanh(affine(p, "out", hidden)))
        past.append(out[-1])
    return out


TAUS = np.array([2.0, 5.0, 10.0, 20.0, 50.0])


@case("ctrnn", "CTRNNCell")
@case("ctrnn, trained times", "CTRNNCell", tau=TAUS, dt=0.5, train_tau=True, activation="sigmoid",
      twin={"dt": 0.5, "phi": sigmoid})  # fmt: skip
def ctrnn(p: Arrays, xs: Any, dt: float = 1.0, phi: Any = np.tanh) -> list[Any]:
    tau = np.exp(p["log_tau"]) if "log_tau" in p else 5.0
    (v,), out = zeros(1), []
    for x in xs:
        slope = (-v + gate(p, "gate", x, phi(v))) / tau
        v = v + dt * slope
        out.append(phi(v))
    return out


@case("indrnn", "IndRNNCell")
@case("indrnn, tanh", "IndRNNCell", activation="tanh", twin={"phi": np.tanh})
def ind_rnn(p: Arrays, xs: Any, phi: Any = relu) -> list[Any]:
    (h,), out = zeros(1), []
    for x in xs:
        h = phi(x @ p["w"] + h @ np.diag(p["u"]) + p["b"])
        out.append(h)
    return out


# -- gated cells ---------------------------------------------------------------------------
@case("gru", "GRUCell")
@case("gru, fused", "GRUCell", fused=True)
def gru(p: Arrays, xs: Any) -> list[Any]:
    (h,), out = zeros(1), []
    for x in xs:
        r, z = sigmoid(gate(p, "r", x, h)), sigmoid(gate(p, "z", x, h))
        n = np.tanh(x @ p["n.w_in"] + p["n.b"] + r * (h @ p["n.w_rec"] + p["b_rec"]))
        h = (1 - z) * n + z * h
        out.append(h)
    return out


@case("gru, reset before", "GRUCell", reset="before")
def gru_before(p: Arrays, xs: Any) -> list[Any]:
    (h,), out = zeros(1), []
    for x in xs:
        r, z = sigmoid(gate(p, "r", x, h)), sigmoid(gate(p, "z", x, h))
        n = np.tanh(x @ p["n.w_in"] + p["n.b"] + (r * h) @ p["n.w_rec"])
        h = (1 - z) * n + z * h
        out.append(h)
    return out


@case("lstm", "LSTMCell")
@case("lstm, fused", "LSTMCell", fused=True)
def lstm(p: Arrays, xs: Any) -> list[Any]:
    (c, h), out = zeros(2), []
    for x in xs:
        pre = {g: gate(p, g, x, h) for g in "ifgo"}
        c = sigmoid(pre["f"]) * c + sigmoid(pre["i"]) * np.tanh(pre["g"])
        h = sigmoid(pre["o"]) * np.tanh(c)
        out.append(h)
    return out


@case("ur_lstm", "URLSTMCell")
def ur_lstm(p: Arrays, xs: Any) -> list[Any]:
    (c, h), out = zeros(2), []
    for x in xs:
        f = sigmoid(gate(p, "f", x, h) + p["beta"])
        r = sigmoid(gate(p, "r", x, h) - p["beta"])
        g = 2 * r * f + (1 - 2 * r) * f**2
        c = g * c + (1 - g) * np.tanh(gate(p, "u", x, h))
        h = sigmoid(gate(p, "o", x, h)) * np.tanh(c)
        out.append(h)
    return out


@case("mgu", "MGUCell")
def mgu(p: Arrays, xs: Any) -> list[Any]:
    (h,), out = zeros(1), []
    for x in xs:
        f = sigmoid(gate(p, "f", x, h))
        h = h + f * (np.tanh(gate(p, "n", x, f * h)) - h)
        out.append(h)
    return out


@case("cfn", "CFNCell")
def cfn(p: Arrays, xs: Any) -> list[Any]:
    (h,), out = zeros(1), []
    for x in xs:
        theta, eta = sigmoid(gate(p, "f", x, h)), sigmoid(gate(p, "i", x, h))
        h = theta * np.tanh(h) + eta * np.tanh(affine(p, "n", x))
        out.append(h)
    return out


@case("minimal rnn", "MinimalRNNCell")
@case("minimal rnn, linear", "MinimalRNNCell", activation="identity", twin={"phi": np.positive})
def minimal_rnn(p: Arrays, xs: Any, phi: Any = np.tanh) -> list[Any]:
    (h,), out = zeros(1), []
    for x in xs:
        z = phi(affine(p, "z", x))
        u = sigmoid(gate(p, "u", z, h))
        h = z + u * (h - z)
        out.append(h)
    return out


@case("mini gru", "MiniGRUCell")
def mini_gru(p: Arrays, xs: Any) -> list[Any]:
    (h,), out = zeros(1), []
    for x in xs:
        z = sigmoid(affine(p, "z", x))
        h = h + z * (affine(p, "n", x) - h)
        out.append(h)
    return out


@case("mini lstm", "MiniLSTMCell")
@case("mini lstm, free gates", "MiniLSTMCell", normalise=False, twin={"normalise": False})
def mini_lstm(p: Arrays, xs: Any, normalise: bool = True) -> list[Any]:
    (h,), out = zeros(1), []
    for x in xs:
        f, i = sigmoid(affine(p, "f", x)), sigmoid(affine(p, "i", x))
        total = f + i if normalise else 1.0
        h = f / total * h + i / total * affine(p, "n", x)
        out.append(h)
    return out


# -- diagonal complex cells: in complex arithmetic, by powers of the transition -------------
def weight(p: Arrays, name: str) -> Any:
    return p[f"{name}.re"] + 1j * p[f"{name}.im"]


def responses(factor: Any, drives: list[Any]) -> list[Any]:
    """Return the sums of ``factor**k`` times the drive of k steps ago."""
    return [
        sum(factor**k * drives[t - k] for k in range(t + 1)) for t in range(len(drives))
    ]  # fmt: skip


@case("lru", "LRUCell")
def lru(p: Arrays, xs: Any) -> list[Any]:
    factor = np.exp(-np.exp(p["ring.nu_log"]) + 1j * np.exp(p["ring.theta_log"]))
    drives = [np.exp(p["gamma_log"]) * (x @ weight(p, "b")) for x in xs]
    states = responses(factor, drives)
    return [(h @ weight(p, "c")).real + p["d"] * x for h, x in zip(states, xs, strict=True)]


def steps(p: Arrays, method: str) -> tuple[Any, Any]:
    a = -np.exp(p["system.a_log"]) + 1j * p["system.omega"]
    dt = np.exp(p["system.dt_log"])
    if method == "zoh":
        return np.exp(a * dt), np.expm1(a * dt) / a
    return (2 + a * dt) / (2 - a * dt), 2 * dt / (2 - a * dt)


STEPS = {"dt_min": 0.1, "dt_max": 1.0}


@case("s4d", "S4DCell", **STEPS)
@case("s4d, bilinear", "S4DCell", spectrum="inv", method="bilinear", **STEPS,
      twin={"method": "bilinear"})  # fmt: skip
@case("s4d, legs", "S4DCell", spectrum="legs", **STEPS)
def s4d(p: Arrays, xs: Any, method: str = "zoh") -> list[Any]:
    factor, gain = steps(p, method)
    states = responses(factor, [gain * x[:, None] for x in xs])
    c = p["c_re"] + 1j * p["c_im"]
    return [2 * (c * h).sum(axis=1).real + p["d"] * x for h, x in zip(states, xs, strict=True)]


@case("s5", "S5Cell", **STEPS)
@case("s5, bilinear", "S5Cell", method="bilinear", **STEPS, twin={"method": "bilinear"})
def s5(p: Arrays, xs: Any, method: str = "zoh") -> list[Any]:
    factor, gain = steps(p, method)
    states = responses(factor, [gain * (x @ weight(p, "b")) for x in xs])
    return [2 * (h @ weight(p, "c")).real + p["d"] * x for h, x in zip(states, xs, strict=True)]


@case("rtu", "RTUCell")
@case("rtu, linear", "RTUCell", linear=True, activation="relu", twin={"linear": True, "phi": relu})
def rtu(p: Arrays, xs: Any, linear: bool = False, phi: Any = np.tanh) -> list[Any]:
    r, angle = np.exp(-np.exp(p["ring.nu_log"])), np.exp(p["ring.theta_log"])
    turn = r * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    h, out = np.zeros((2, N)), []
    for x in xs:
        drive = np.sqrt(1 - r**2) * np.stack([x @ p["w.re"], x @ p["w.im"]])
        h = np.einsum("abn,bn->an", turn, h) + drive
        if not linear:
            h = phi(h)
        out.append((phi(h) if linear else h).reshape(-1))
    return out


# -- spiking cells and readouts ------------------------------------------------------------
@case("lif", "LIFCell")
@case("lif, reset to zero", "LIFCell", reset="zero", detach_reset=False, bias=0.1,
      twin={"reset": "zero"})  # fmt: skip
@case("lif, own time constants", "LIFCell", tau_mem=TAUS, reset="none", recurrent=False,
      twin={"tau_mem": TAUS, "reset": "none", "recurrent": False})  # fmt: skip
@case("alif", "ALIFCell", adaptation=0.3, threshold=0.6,
      twin={"adaptation": 0.3, "threshold": 0.6})  # fmt: skip
@case("alif, short steps", "ALIFCell", adaptation=0.3, threshold=0.6, dt=0.5, tau_adapt=10.0,
      twin={"adaptation": 0.3, "threshold": 0.6, "dt": 0.5, "tau_adapt": 10.0})  # fmt: skip
def lif(
    p: Arrays, xs: Any, *, reset: str = "subtract", adaptation: float = 0.0, tau_mem: Any = 10.0,
    threshold: float = 1.0, recurrent: bool = True, dt: float = 1.0, tau_adapt: float = 100.0,
) -> list[Any]:  # fmt: skip
    (current, v, a), out = zeros(3), []
    alpha, rho = np.exp(-dt / 2.0), np.exp(-dt / tau_adapt)
    beta = np.exp(-dt / np.asarray(tau_mem))
    for x in xs:
        z = (v > threshold + adaptation * a).astype(float)
        a = rho * a + z
        current = alpha * current + x @ p["synapse.w_in"]
        if recurrent:
            current = current + z @ p["synapse.w_rec"]
        if "synapse.b" in p:
            current = current + p["synapse.b"]
        if reset == "zero":
            v = v * (1 - z)
        v = beta * v + (1 - beta) * current
        if reset == "subtract":
            v = v - threshold * z
        out.append((v > threshold + adaptation * a).astype(float))
    return out


@case("rate readout", "LeakyRateReadout", tau=3.0, dt=0.5)
def leaky_readout(p: Arrays, xs: Any) -> list[Any]:
    (y,), out = zeros(1), []
    for x in xs:
        y = np.exp(-0.5 / 3.0) * y + x @ p["weight"] + p["bias"]
        out.append(y)
    return out


@case("spike readout", "LeakySpikeReadout", tau=3.0, threshold=0.5)
def spike_readout(p: Arrays, xs: Any) -> list[Any]:
    (v,), out = zeros(1), []
    kept = np.exp(-1 / 3.0)
    for x in xs:
        fired = v > 0.5
        v = kept * v + (1 - kept) * (x @ p["weight"] + p["bias"]) - 0.5 * fired
        out.append((v > 0.5).astype(float))
    return out
