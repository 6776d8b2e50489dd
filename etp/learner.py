"""The learner: a compiled model with its parameters, on a backend."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from etp_ir.backend import Backend
from etp_ir.core import Program
from etp_ir.types import DType, dtype_of

from . import backends, losses
from .checkpoint import pack, unpack
from .compiled import Compiled, Options, Stages, predict_program
from .compiler.graph import ETraceGraph
from .compiler.report import Report
from .copying import copy_to
from .eligibility import TraceBook, book
from .engine import Engine, named
from .fit import History, fit
from .initial import is_flag
from .keys import Draws, Stretch
from .model import Module, collect, kind_of
from .over_time import record
from .params import as_params
from .place import placed
from .rule_arrays import fresh_arrays
from .sequences import Batch, as_array, as_count, check_batch, loss_weights
from .stream import advance


class Learner:
    """A model compiled for a learning rule, a loss and a backend. Made by `etp.compile`.

    Programs are specialised for the sequence length and batch size of the data they meet, and
    kept: a second call with the same sizes compiles nothing.

    Attributes
    ----------
    params
        Parameters by dotted path, arrays of the backend; may be assigned.
    buffers
        Buffers of the model by dotted path, such as running statistics.
    rule_arrays
        What rule and learning signal keep for all examples, such as feedback weights, by name.
    gradients
        What the last `step` left.
    optimizer, optimizer_state
        What the last `fit` used, and its moments by name.
    draws
        Where it stands in the random numbers of its model.
    restored
        Whether the moments came from a state dict and wait for their optimiser.
    """

    def __init__(
        self, model: Module, *, options: Options, loss: str | Callable[[Any, Any], Any],
        backend: Backend, batch_size: int, dtype: DType | str, check: bool, seed: int = 0,
    ) -> None:  # fmt: skip
        self.batch_size = batch_size
        self.engine = Engine(model, options, losses.get(loss), backend, dtype_of(dtype), check)
        self.optimizer: Any = None
        self.optimizer_state: dict[str, Any] = {}
        self.restored = False
        self.gradients: dict[str, Any] = {}
        self.stream: dict[str, Any] = {}
        self.draws = Draws(seed)
        self.rule_arrays: dict[str, Any] = {}
        kind, found = self.engine.dtype.numpy(), collect(model)
        self._params = {
            n: backend.asarray(np.array(p.value, kind))
            for n, p in found.params.items() if p.trainable
        }  # fmt: skip
        self.buffers: dict[str, Any] = {
            n: backend.asarray(np.array(b.value, kind_of(b.value, self.engine.dtype).numpy()))
            for n, b in found.buffers.items()
        }

    @property
    def backend(self) -> Backend:
        """The backend that programs run on."""
        return self.engine.backend

    @property
    def options(self) -> Options:
        """Rule, window, schedule."""
        return self.engine.options

    # -- parameters -------------------------------------------------------------------------
    @property
    def params(self) -> dict[str, Any]:
        """Parameters by dotted path; assign to change them, the arrays are read-only."""
        return {n: _read_only(x) for n, x in self._params.items()}

    @params.setter
    @placed
    def params(self, new: Mapping[str, Any]) -> None:
        self._params = {**self._params, **self.as_params(new)}

    copy_to = placed(copy_to)

    @property
    def held(self) -> dict[str, Any]:
        """Parameters, buffers and arrays of the rule by name."""
        return {**self._params, **self.buffers, **self.rule_arrays}

    def compile(
        self, batch: Batch, stretch: int | None = None, *, met: bool = True
    ) -> Compiled:  # fmt: skip
        """Return the model compiled for a batch, see `Engine.compile`; the rule's arrays exist."""
        compiled = self.engine.compile(batch, stretch, met=met)
        missing = [n for n in compiled.steps.shared if n not in self.rule_arrays]
        if missing:
            self.rule_arrays = {**self.rule_arrays, **fresh_arrays(self, compiled, missing)}
        return compiled

    as_params = as_params

    # -- whole sequences --------------------------------------------------------------------
    @placed
    def predict(self, xs: Any, *, training: bool = False) -> Any:
        """Return the model's outputs (T, B, ...) for inputs (T, B, ...), from initial states.

        Parameters
        ----------
        training
            Run the model as it is trained, for example with dropout and fresh random numbers.
            Otherwise it runs in evaluation mode, and what is still random in it is the same in
            every call.

        Raises
        ------
        etp.ShapeError, etp.DataError
            If the inputs do not fit the model.
        """
        engine = self.engine
        batch = engine.batch(xs, None)
        step = engine.trace(batch, training)
        run = engine.executable(
            ("predict", batch.length, batch.size), step,
            lambda: predict_program(step, batch.length, batch.size), batch,
        )  # fmt: skip
        draw, after = self.draws.sequence()
        if not training:
            draw, after = Stretch(self.draws.seed, training=False), self.draws
        out = run(engine.arguments(run.program, step, step.constants, self.held, batch, draw))
        if run.program.inputs_of("noise"):
            self.draws = after
        return out["output"]

    @placed
    def grad(
        self, xs: Any, ys: Any, mask: Any = None, reduction: str = "mean", *,
        modulator: Any = None,
    ) -> tuple[dict[str, Any], dict[str, float]]:  # fmt: skip
        """Return the online gradient over whole sequences, and metrics; parameters stay.

        The model runs in training mode: where it draws random numbers each call meets new ones,
        and running statistics move on.

        Parameters
        ----------
        xs, ys
            Inputs and targets (T, B, ...).
        mask
            (T,) or (T, B): weight of each step's loss; 0 leaves a step out of the loss, while
            state and traces still advance.
        reduction
            ``"mean"`` divides the sum over steps by the unmasked steps, and the batch by its
            size; ``"sum"`` divides neither.
        modulator
            (T,), (T, B) or (T, B, groups): for rules whose learning signal is given.

        Returns
        -------
        grads
            Dotted path -> array of the backend.
        metrics
            ``loss``, and those of the loss (``accuracy`` for classification), reduced alike.
        """
        engine = self.engine
        batch = engine.batch(xs, ys, mask, modulator)
        weights = loss_weights(batch.mask, reduction)
        compiled = self.compile(batch)
        run = engine.executable(
            ("grad", batch.length, batch.size), compiled,
            lambda: compiled.gradient(batch.length, batch.size), batch,
        )  # fmt: skip
        draw, after = self.draws.sequence()
        out = run(engine.arguments(run.program, compiled.step, compiled.loss.constants,
                                   self.held, batch, draw, weights))  # fmt: skip
        self.__dict__.update(self.moved(run.program, out, after))
        return self.as_grads(out), engine.metrics(out)

    @placed
    def fit(
        self, batches: Iterable[Any], optimizer: Any = None, *, update: str | int | None = None,
        epochs: int = 1, callback: Callable[[dict[str, Any]], Any] | None = None,
        progress: bool | None = None,
    ) -> History:  # fmt: skip
        """Train on batches, and return the history.

        Every sequence starts from the model's initial states and empty traces. The optimiser
        runs at every update, also where a mask leaves no loss. Its state is kept as long as
        equal optimisers are given; another one starts afresh.

        Parameters
        ----------
        batches
            Iterable of ``(xs, ys)`` or ``(xs, ys, mask)``; read once per epoch.
        optimizer
            From `etp.optim` (or optax, on JAX); Adam with a rate of 1e-3 by default, or the one
            of the last call, whose state is kept.
        update
            When parameters change: after every ``"step"``, every k steps, or at the end of the
            ``"sequence"``. Gradients of the steps between two updates are averaged. By default
            what the rule says, which is ``"step"`` of all but a few.
        callback
            Called after each batch with a dict of ``epoch``, ``batch``, and metrics; returning
            True stops the training.
        progress
            Show a progress bar; by default where the terminal is interactive.

        Raises
        ------
        etp.DataError
            If there is nothing to train on, the data do not fit, or the loss is not finite;
            parameters are then those of the last good batch.
        """
        period = self.options.rule.default_update if update is None else update
        return fit(self, batches, optimizer, period, epochs, callback, progress)

    # -- streaming --------------------------------------------------------------------------
    @placed
    def step(
        self, x: Any, y: Any, mask: Any = None, *, optimizer: Any = None, modulator: Any = None
    ) -> float:
        """Advance states and traces by one step, and return the loss of that step.

        Parameters
        ----------
        x, y
            Input and target of one step, (B, ...).
        mask
            (B,), weight of each example's loss.
        optimizer
            Also change the parameters by the gradient of this step; its state is kept in the
            learner.
        modulator
            (), (B,) or (B, groups): for rules whose learning signal is given.

        Notes
        -----
        The gradient is left in ``learner.gradients``. The first call after `reset` starts from
        the model's initial states and empty traces.
        """
        return advance(self, x, y, mask, optimizer, modulator)

    def reset(self) -> None:
        """Return streaming states and traces to their beginning."""
        self.stream, self.draws = {}, self.draws.reset()

    @property
    def states(self) -> dict[str, Any]:
        """States of the stream by dotted path; empty before the first `step`."""
        return self._streamed("state")

    @property
    def traces(self) -> TraceBook:
        """Traces of the stream by name and by weight; empty before the first `step`."""
        return book(self, self._streamed("trace"))

    def _streamed(self, kind: str) -> dict[str, Any]:
        if not self.stream:
            return {}
        states = collect(self.engine.model).states
        return {
            n: x for n, x in self.stream.items()
            if not is_flag(n) and (n in states) == (kind == "state")
        }  # fmt: skip

    record = placed(record)

    # -- what was compiled ------------------------------------------------------------------
    @property
    @placed
    def program(self) -> Stages:
        """The programs of every stage: ``traced``, ``compiled``, ``batched``, ``scheduled``."""
        compiled, length, size = self.engine.last()
        return compiled.stages(length, size)

    @placed
    def report(self) -> Report:
        """Return the compile report, which prints as a table."""
        compiled, length, size = self.engine.last()
        return compiled.report(self.engine.stretch, length, size, self.backend.name)

    @property
    @placed
    def graph(self) -> ETraceGraph:
        """Hidden groups, relations, statuses, diagnostics and ``explain(path)``."""
        compiled, length, size = self.engine.last()
        stretch = self.engine.stretch
        found = compiled.statuses(stretch, length)
        records = compiled.diagnostics(stretch, length, size, found)
        return ETraceGraph(compiled.structure, found, records, compiled.step.places)

    @placed
    def specialise(self, x: Any, y: Any, length: int = 1) -> None:
        """Compile for the types of one step of one example, without data.

        Parameters
        ----------
        x, y
            One step of one example.
        length
            Sequence length that reports and dumps speak of.
        """
        length = as_count(length, "length")

        def spread(a: Any, what: str) -> Any:
            array = np.asarray(as_array(a, what))
            return np.broadcast_to(array, (length, self.batch_size, *array.shape))

        xs = {n: spread(a, n) for n, a in named(x).items()}
        self.compile(check_batch(xs, spread(y, "y"), None, check=False), met=False)

    # -- life cycle -------------------------------------------------------------------------
    def state_dict(self) -> dict[str, Any]:
        """Return parameters, stream, optimiser and settings, as NumPy arrays under plain names."""
        return pack(self)

    @placed
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned.

        Raises
        ------
        etp.ModelError, etp.ShapeError
            If it belongs to another model; nothing is changed then.
        """
        unpack(self, state)

    @placed
    def functional(self) -> Any:
        """Return pure ``init`` and ``step`` functions for use inside JAX transformations."""
        from .pure import functional

        return functional(self)

    def __getstate__(self) -> dict[str, Any]:
        e = self.engine
        return {
            "settings": (
                e.model, e.options, e.loss, backends.portable(e.backend), e.dtype, e.check
            ),
            "batch_size": self.batch_size, "optimizer": self.optimizer, "state": pack(self),
        }  # fmt: skip

    def __setstate__(self, kept: dict[str, Any]) -> None:
        model, options, loss, backend, dtype, check = kept["settings"]
        Learner.__init__(self, model, options=options, loss=loss, backend=backends.get(backend),
                         batch_size=kept["batch_size"], dtype=dtype, check=check)  # fmt: skip
        unpack(self, kept["state"])
        self.optimizer = kept["optimizer"]

    def __repr__(self) -> str:
        model = type(self.engine.model).__name__
        return f"<Learner {model}, {self.options.rule.name}, {self.backend.name}>"

    def moved(self, program: Program, out: Mapping[str, Any], after: Draws) -> dict[str, Any]:
        """Return the attributes that a program has moved on beside parameters and the stream.

        They are the buffers, and the place in the random numbers if it has met some.
        """
        return {
            "buffers": {n: out.get(f"buffer({n})", x) for n, x in self.buffers.items()},
            "rule_arrays": {n: out.get(f"buffer({n})", x) for n, x in self.rule_arrays.items()},
            "draws": after if program.inputs_of("noise") else self.draws,
        }

    def as_grads(self, out: Mapping[str, Any]) -> dict[str, Any]:
        """Return the gradients among a program's outputs, by path."""
        return {n: out[f"grad({n})"] for n in self._params if f"grad({n})" in out}


def _read_only(array: Any) -> Any:
    """Return a view through which an array cannot be written."""
    if isinstance(array, np.ndarray):
        array = array.view()
        array.flags.writeable = False
    return array
