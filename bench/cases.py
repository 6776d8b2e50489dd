"""The work: sizes, parameters, inputs and targets, drawn once and shared by every contender.

Needs NumPy only, because it is imported by every interpreter that takes part.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

Arrays = dict[str, np.ndarray]

MODELS = ("leaky", "gru", "lif")
GATES = ("z", "r", "h")

LEAK = 0.1
MEMBRANE_DECAY = 0.95
SYNAPSE_DECAY = 0.9
THRESHOLD = 1.0
PP_PROP_DECAY = 0.9


@dataclass(frozen=True)
class Case:
    """One piece of work: the gradient of a summed loss over one batch of sequences.

    The loss is ``sum((o - y)**2)`` over steps, examples and outputs, with ``o`` a linear readout
    of the hidden state (of the spikes for ``lif``). ``n`` is both the input width and the number
    of units.

    ========  =====================================================================
    model     one step
    ========  =====================================================================
    leaky     ``h' = (1-a) h + a tanh(x W_in + h W_rec + b)``
    gru       ``h' = (1-z) h + z tanh(x W_in + (r h) W_rec + b)``, gates z and r
              ``sigmoid(x W_in + h W_rec + b)``
    lif       ``s = H(v - 1)``, ``i' = beta i + x W_in + s W_rec``,
              ``v' = alpha v + (1-alpha) i' - s``; output spikes ``H(v' - 1)``;
              dH/dv is ``1 / (1 + (pi v)^2)``, also in the reset
    ========  =====================================================================
    """

    model: str
    n: int
    batch: int = 16
    steps: int = 100
    outputs: int = 10
    seed: int = 0

    @property
    def name(self) -> str:
        """A short name such as ``gru-256``."""
        return f"{self.model}-{self.n}"

    @property
    def rule(self) -> str:
        """The eligibility rule this model is trained with."""
        return "pp_prop" if self.model == "lif" else "d_rtrl"


def make_params(case: Case, rng: np.random.Generator) -> Arrays:
    """Return the parameters, float32, keyed by dotted names that all contenders report by."""

    def matrix(rows: int, columns: int, gain: float = 1.0) -> np.ndarray:
        scaled = gain / np.sqrt(rows) * rng.standard_normal((rows, columns))
        return np.asarray(scaled, np.float32)

    def vector(size: int) -> np.ndarray:
        return (0.1 * rng.standard_normal(size)).astype(np.float32)

    n = case.n
    params: Arrays = {}
    if case.model == "gru":
        for gate in GATES:
            params |= {f"{gate}.w_in": matrix(n, n), f"{gate}.w_rec": matrix(n, n)}
            params |= {f"{gate}.b": vector(n)}
    elif case.model == "leaky":
        params |= {"w_in": matrix(n, n), "w_rec": matrix(n, n, 1.2), "b": vector(n)}
    elif case.model == "lif":
        params |= {"w_in": matrix(n, n, 3.0), "w_rec": matrix(n, n, 1.0)}
    else:
        raise ValueError(f"no model {case.model!r}; choose one of {', '.join(MODELS)}")
    return params | {"out.w": matrix(n, case.outputs), "out.b": vector(case.outputs)}


def make_sequences(case: Case, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs ``(T, B, n)`` and targets ``(T, B, outputs)``, float32."""
    shape = (case.steps, case.batch, case.n)
    if case.model == "lif":
        xs = (rng.random(shape) < 0.1).astype(np.float32)
    else:
        xs = rng.standard_normal(shape).astype(np.float32)
    ys = rng.standard_normal((case.steps, case.batch, case.outputs)).astype(np.float32)
    return xs, ys


def save(case: Case, path: Path) -> None:
    """Draw the case from one seeded generator and write it to an ``.npz`` file."""
    rng = np.random.default_rng([case.seed, MODELS.index(case.model), case.n])
    params = make_params(case, rng)
    xs, ys = make_sequences(case, rng)
    facts = {f"case.{key}": np.asarray(value) for key, value in asdict(case).items()}
    arrays = {"xs": xs, "ys": ys} | {f"param.{k}": v for k, v in params.items()} | facts
    np.savez(path, allow_pickle=False, **arrays)


def load(path: Path) -> tuple[Case, Arrays, np.ndarray, np.ndarray]:
    """Read a case back: ``(case, params, xs, ys)``."""
    with np.load(path) as data:
        facts = {k.removeprefix("case."): data[k].item() for k in data if k.startswith("case.")}
        params = {k.removeprefix("param."): data[k] for k in data if k.startswith("param.")}
        return Case(**facts), params, data["xs"], data["ys"]
