"""The learner: a compiled model with its parameters, on a backend."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from etp_ir.backend import Backend, Executable
from etp_ir.core import Program
from etp_ir.errors import ModelError, ShapeError, compose, nearest
from etp_ir.types import DType, dtype_of

from . import losses
from .checkpoint import pack, unpack
from .compiled import Compiled, Options, Stages, predict_program
from .compiler.report import Report
from .fit import History, fit
from .model import Module, TracedStep, collect, trace_step
from .sequences import Batch, check_batch, loss_weights, step_type
from .traced import with_loss


class Learner:
    """A model compiled for a learning rule, a loss and a backend. Made by `etp.compile`.

    Programs are specialised for the sequence length and batch size of the data they meet, and
    kept: a second call with the same sizes compiles nothing.

    Attributes
    ----------
    params
        Parameters by dotted path, arrays of the backend; may be assigned.
    """

    def __init__(
        self, model: Module, *, options: Options, loss: str | Callable[[Any, Any], Any],
        backend: Backend, batch_size: int, dtype: DType | str, check: bool,
    ) -> None:  # fmt: skip
        self.model = model
        self.options = options
        self.loss = losses.get(loss)
        self.backend = backend
        self.batch_size = batch_size
        self.dtype = dtype_of(dtype)
        self.check = check
        self.optimizer: Any = None
        self.optimizer_state: dict[str, Any] = {}
        self._steps: dict[Any, TracedStep] = {}
        self._compiled: dict[Any, Compiled] = {}
        self._executables: dict[Any, Executable] = {}
        self._stream: dict[str, Any] | None = None
        self._last: tuple[Any, int, int] | None = None
        self.gradients: dict[str, Any] = {}
        found = collect(model)
        kept = {n: p for n, p in found.params.items() if p.trainable}
        self._params = {
            n: backend.asarray(np.array(p.value, self.dtype.numpy())) for n, p in kept.items()
        }

    # -- parameters -------------------------------------------------------------------------
    @property
    def params(self) -> dict[str, Any]:
        """Parameters by dotted path."""
        return dict(self._params)

    @params.setter
    def params(self, new: Mapping[str, Any]) -> None:
        for name, array in new.items():
            if name not in self._params:
                raise ModelError(f"no parameter {name!r}{nearest(name, list(self._params))}")
            if tuple(np.shape(array)) != tuple(self._params[name].shape):
                raise ShapeError(
                    f"parameter {name!r} has shape {tuple(self._params[name].shape)}, "
                    f"got {tuple(np.shape(array))}"
                )
        for name, array in new.items():
            data = np.asarray(self.backend.to_numpy(array)).astype(self.dtype.numpy())
            self._params[name] = self.backend.asarray(data)

    # -- whole sequences --------------------------------------------------------------------
    def predict(self, xs: Any) -> Any:
        """Return the model's outputs (T, B, ...) for inputs (T, B, ...), from initial states.

        Raises
        ------
        etp.ShapeError, etp.DataError
            If the inputs do not fit the model.
        """
        batch = check_batch(self._named(xs), None, None, check=self.check)
        step = self._traced(batch)
        run = self._executable(
            ("predict", batch.length, batch.size), step,
            lambda: predict_program(step, batch.length, batch.size),
        )  # fmt: skip
        return run(self._arguments(run.program, step, step.constants, batch, None))["output"]

    def grad(
        self, xs: Any, ys: Any, mask: Any = None, reduction: str = "mean"
    ) -> tuple[dict[str, Any], dict[str, float]]:
        """Return the online gradient over whole sequences, and metrics; nothing is changed.

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

        Returns
        -------
        grads
            Dotted path -> array of the backend.
        metrics
            ``loss``, and those of the loss (``accuracy`` for classification), reduced alike.
        """
        batch = check_batch(self._named(xs), ys, mask, check=self.check)
        compiled = self._compile(batch)
        run = self._executable(
            ("grad", batch.length, batch.size), compiled,
            lambda: compiled.gradient(batch.length, batch.size),
        )  # fmt: skip
        weights = loss_weights(batch.mask, reduction)
        out = run(self._arguments(run.program, compiled.step, compiled.loss.constants, batch, weights))
        return self._grads(out), self._metrics(out)

    def fit(
        self, batches: Iterable[Any], optimizer: Any = None, *, update: str | int = "step",
        epochs: int = 1, callback: Callable[[dict[str, Any]], Any] | None = None,
        progress: bool | None = None,
    ) -> History:  # fmt: skip
        """Train on batches, and return the history.

        Parameters
        ----------
        batches
            Iterable of ``(xs, ys)`` or ``(xs, ys, mask)``; read once per epoch.
        optimizer
            From `etp.optim` (or optax, on JAX); Adam with a rate of 1e-3 by default, or the one
            of the last call, whose state is kept.
        update
            When parameters change: after every ``"step"``, every k steps, or at the end of the
            ``"sequence"``. Gradients of the steps between two updates are averaged.
        callback
            Called after each batch with a dict of ``epoch``, ``batch``, and metrics; returning
            True stops the training.
        progress
            Show a progress bar; by default where the terminal is interactive.
        """
        return fit(self, batches, optimizer, update, epochs, callback, progress)

    # -- streaming --------------------------------------------------------------------------
    def step(self, x: Any, y: Any, mask: Any = None, *, optimizer: Any = None) -> float:
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

        Notes
        -----
        The gradient is left in ``learner.gradients``. The first call after `reset` starts from
        the model's initial states and empty traces.
        """
        rows = {n: as_rows(a) for n, a in self._named(x).items()}
        rows_mask = None if mask is None else as_rows(mask)
        batch = check_batch(rows, as_rows(y), rows_mask, check=self.check)
        compiled = self._compile(batch)
        stream = self._streaming(compiled, batch.size)
        run = self._executable(("online", batch.size), compiled, lambda: compiled.online(batch.size))
        weights = loss_weights(batch.mask, "mean")
        arguments = self._arguments(run.program, compiled.step, compiled.loss.constants, batch, weights)
        arguments.update({n: stream[n] for n in stream if n in run.program.input_names})
        out = run(arguments)
        for port in run.program.inputs:
            key = f"state({port.name})" if port.role.kind == "state" else str(port.role)
            if port.role.kind in ("state", "trace") and key in out:
                stream[port.name] = out[key]
        self.gradients = self._grads(out)
        if optimizer is not None:
            self._apply(optimizer)
        return self._metrics(out)["loss"]

    def reset(self) -> None:
        """Return streaming states and traces to their beginning."""
        self._stream = None

    @property
    def states(self) -> dict[str, Any]:
        """States of the stream by dotted path; empty before the first `step`."""
        return self._of_role("state")

    @property
    def traces(self) -> dict[str, Any]:
        """Traces of the stream by name; empty before the first `step`."""
        return self._of_role("trace")

    def _of_role(self, kind: str) -> dict[str, Any]:
        if self._stream is None or self._last is None:
            return {}
        program = self._compiled[self._last[0]].steps.online
        names = {p.name for p in program.inputs_of(kind)}
        return {n: x for n, x in self._stream.items() if n in names}

    def _apply(self, optimizer: Any) -> None:
        from .fit import adopt

        chosen = adopt(self, optimizer)
        as_numpy = self.backend.to_numpy
        params = {n: as_numpy(x) for n, x in self._params.items()}
        grads = {n: as_numpy(x) for n, x in self.gradients.items()}
        state = {n: as_numpy(x) for n, x in self.optimizer_state.items()}
        new, state = chosen.update(grads, state, params)
        self.params = new
        self.optimizer_state = {n: self.backend.asarray(np.asarray(x)) for n, x in state.items()}

    # -- what was compiled ------------------------------------------------------------------
    @property
    def program(self) -> Stages:
        """The programs of every stage: ``traced``, ``compiled``, ``batched``, ``scheduled``."""
        compiled, length, size = self._seen()
        return compiled.stages(length, size)

    def report(self) -> Report:
        """Return the compile report, which prints as a table."""
        compiled, length, size = self._seen()
        return compiled.report(length, size, self.backend.name)

    @property
    def graph(self) -> Any:
        """Hidden groups, relations, statuses and ``explain(path)``."""
        from .compiler.graph import ETraceGraph

        compiled, _, _ = self._seen()
        return ETraceGraph(compiled.structure, compiled.statuses)

    def specialise(self, x: Any, y: Any, length: int = 1) -> None:
        """Compile for the types of one step of one example, without data.

        Parameters
        ----------
        x, y
            One step of one example: arrays, or anything with a shape and a dtype.
        length
            Sequence length that reports and dumps speak of.
        """
        def spread(a: Any) -> Any:
            array = np.asarray(a)
            return np.broadcast_to(array, (length, self.batch_size, *array.shape))

        xs = {n: spread(a) for n, a in self._named(x).items()}
        self._compile(check_batch(xs, spread(y), None, check=False))

    def _seen(self) -> tuple[Compiled, int, int]:
        if self._last is None:
            raise ModelError(
                compose("nothing is compiled yet: the types of the data are not known",
                        how="pass example=(x, y) of one step and one example to etp.compile, "
                            "or call grad or fit first")
            )  # fmt: skip
        key, length, size = self._last
        return self._compiled[key], length, size

    # -- life cycle -------------------------------------------------------------------------
    def state_dict(self) -> dict[str, Any]:
        """Return parameters, stream, optimiser and settings, as NumPy arrays under plain names."""
        return pack(self)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned.

        Raises
        ------
        etp.ModelError, etp.ShapeError
            If it belongs to another model; nothing is changed then.
        """
        unpack(self, state)

    def functional(self) -> Any:
        """Return pure ``init`` and ``step`` functions for use inside JAX transformations."""
        from .functional_jax import functional

        return functional(self)

    def __getstate__(self) -> dict[str, Any]:
        kept = dict(self.__dict__)
        as_numpy = self.backend.to_numpy
        kept.update(_executables={}, _compiled={}, _steps={}, backend=self.backend.name, _last=None)
        kept["_params"] = {n: as_numpy(x) for n, x in self._params.items()}
        kept["gradients"] = {n: as_numpy(x) for n, x in self.gradients.items()}
        kept["optimizer_state"] = {n: as_numpy(x) for n, x in self.optimizer_state.items()}
        if self._stream is not None:
            kept["_stream"] = {n: as_numpy(x) for n, x in self._stream.items()}
        return kept

    def __setstate__(self, kept: dict[str, Any]) -> None:
        from .backends import get

        self.__dict__.update(kept)
        self.backend = get(kept["backend"])
        to = self.backend.asarray
        self._params = {n: to(x) for n, x in self._params.items()}
        self.optimizer_state = {n: to(x) for n, x in self.optimizer_state.items()}
        if self._stream is not None:
            self._stream = {n: to(x) for n, x in self._stream.items()}

    def __repr__(self) -> str:
        return (f"<Learner {type(self.model).__name__}, {self.options.rule.name}, "
                f"{self.backend.name}>")  # fmt: skip

    # -- machinery --------------------------------------------------------------------------
    def _named(self, xs: Any) -> dict[str, Any]:
        """Return inputs by program name: one array, or a dict or tuple of them."""
        if isinstance(xs, Mapping):
            return {f"x.{k}": v for k, v in xs.items()}
        if isinstance(xs, tuple):
            return {f"x.{i}": v for i, v in enumerate(xs)}
        return {"x": xs}

    def _traced(self, batch: Batch) -> TracedStep:
        """Return the traced step for the types of a batch."""
        types = {n: step_type(a, self.dtype) for n, a in batch.xs.items()}
        key = tuple(types.items())
        if key not in self._steps:
            self._steps[key] = trace_step(self.model, unnamed(types), self.dtype)
        return self._steps[key]

    def _compile(self, batch: Batch) -> Compiled:
        """Return the model compiled for the types of a batch."""
        step = self._traced(batch)
        target = step_type(batch.ys, self.dtype)
        key = (id(step), target)
        if key not in self._compiled:
            metrics = getattr(self.loss, "metrics", {})
            traced = with_loss(step, target, self.loss, metrics)
            self._compiled[key] = Compiled(step, traced, self.options)
        self._last = (key, batch.length, batch.size)
        return self._compiled[key]

    def _executable(
        self, key: tuple[Any, ...], owner: Any, make: Callable[[], Program]
    ) -> Executable:
        full = (id(owner), *key)
        if full not in self._executables:
            self._executables[full] = self.backend.compile(make())
        return self._executables[full]

    def initial_states(self, step: TracedStep, size: int) -> dict[str, Any]:
        """Return the model's initial states for a batch."""
        return {n: np.repeat(x[None], size, axis=0) for n, x in step.states.items()}

    def _arguments(
        self, program: Program, step: TracedStep, constants: Mapping[str, Any], batch: Batch,
        weights: Any,
    ) -> dict[str, Any]:  # fmt: skip
        """Return the arrays for the inputs of a program, all but traces and optimiser."""
        given: dict[str, Any] = {**constants, **self.initial_states(step, batch.size)}
        given.update(self._params)
        given.update(zip(step.inputs, batch.xs.values(), strict=True))
        for port in program.inputs:
            if port.role.kind == "target":
                given[port.name] = batch.ys
            elif port.role.kind == "weight":
                given[port.name] = weights.astype(self.dtype.numpy())
        return {p.name: given[p.name] for p in program.inputs if p.name in given}

    def _streaming(self, compiled: Compiled, size: int) -> dict[str, Any]:
        """Return the stream's states and traces, fresh ones after a reset."""
        if self._stream is not None:
            held = next(iter(self._stream[n] for n in compiled.step.states))
            if held.shape[0] != size:
                raise ShapeError(
                    f"the stream runs with {held.shape[0]} examples, got {size}; "
                    "call reset() to start another"
                )
            return self._stream
        stream = {
            n: self.backend.asarray(x) for n, x in self.initial_states(compiled.step, size).items()
        }
        for a in compiled.steps.traces:
            shape = a.type.shape if a.shared else (size, *a.type.shape)
            stream[a.name] = self.backend.asarray(np.zeros(shape, a.type.dtype.numpy()))
        self._stream = stream
        return stream

    def _grads(self, out: Mapping[str, Any]) -> dict[str, Any]:
        return {n: out[f"grad({n})"] for n in self._params if f"grad({n})" in out}

    def _metrics(self, out: Mapping[str, Any]) -> dict[str, float]:
        found = {"loss": float(self.backend.to_numpy(out["loss"]))}
        for key, x in out.items():
            if key.startswith("metric("):
                found[key[7:-1]] = float(self.backend.to_numpy(x))
        return found


def unnamed(types: dict[str, Any]) -> Any:
    """Return the inverse of naming inputs: one type, a dict, or a tuple."""
    if list(types) == ["x"]:
        return types["x"]
    keys = [n.split(".", 1)[1] for n in types]
    if keys == [str(i) for i in range(len(keys))]:
        return tuple(types.values())
    return dict(zip(keys, types.values(), strict=True))


def as_rows(array: Any) -> Any:
    """Return the array of one step with a time axis of one."""
    return np.asarray(array)[None]

