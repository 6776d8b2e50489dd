"""What a learner runs on: the model compiled for the data it meets, and the executables kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from attrs import define, field

from etp_ir.backend import Backend, Executable
from etp_ir.core import Program
from etp_ir.errors import ModelError, ShapeError, TypeRuleError, compose
from etp_ir.types import DType

from .compiled import Compiled, Options
from .compiler.boundary import MODULATOR
from .compiler.records import warn
from .given import mistake
from .indices import IndexRange, check_indices, index_ranges
from .keys import Stretch
from .losses import check_labels
from .model import Module, TracedStep, trace_step
from .rules.base import LearningRule
from .schedules.still import held_still
from .sequences import Batch, DataError, check_batch, step_type
from .traced import with_loss


@define
class Engine:
    """Compiles a model for types and sizes, once each, and prepares arguments.

    Attributes
    ----------
    compiled
        By traced step and type of the target.
    executables
        By program, sequence length and batch size.
    seen
        The model compiled for the last data, with their length and batch size.
    stretch
        Steps with fixed weights when the last data were met: less than their length in training.
    ranges
        What integers the inputs of a step may hold, by identity of the step.
    looked, warned
        What was looked through for warnings, and what was warned about.
    """

    model: Module
    options: Options
    loss: Any
    backend: Backend
    dtype: DType
    check: bool
    steps: dict[Any, TracedStep] = field(init=False, factory=dict)
    ranges: dict[int, tuple[IndexRange, ...]] = field(init=False, factory=dict)
    compiled: dict[Any, Compiled] = field(init=False, factory=dict)
    executables: dict[Any, Executable] = field(init=False, factory=dict)
    seen: tuple[Compiled, int, int] | None = field(init=False, default=None)
    stretch: int = field(init=False, default=1)
    looked: set[Any] = field(init=False, factory=set)
    warned: set[Any] = field(init=False, factory=set)

    # -- data -------------------------------------------------------------------------------
    def batch(self, xs: Any, ys: Any, mask: Any = None, modulator: Any = None) -> Batch:
        """Return checked sequences."""
        self.hears(modulator)
        return check_batch(named(xs), ys, mask, modulator, check=self.check)

    def row(self, x: Any, y: Any, mask: Any = None, modulator: Any = None) -> Batch:
        """Return one checked step as sequences of length 1."""
        self.hears(modulator)
        return check_batch(named(x), y, mask, modulator, check=self.check, step=True)

    def hears(self, modulator: Any) -> None:
        """Raise if a modulator is given to a rule that hears none."""
        rule = self.options.rule
        if modulator is not None and not rule.modulated:
            raise mistake(
                DataError, f"{rule.name} hears no modulator, and one is given",
                "leave modulator out, or compile with a rule whose learning signal is one, such "
                "as 'three_factor' or eprop(feedback='modulatory')",
            )  # fmt: skip

    # -- compiling --------------------------------------------------------------------------
    def trace(self, batch: Batch, training: bool = True) -> TracedStep:
        """Return the traced step for the types of a batch.

        A model that does not ask for its mode has one step for both.
        """
        types = {n: step_type(a, self.dtype) for n, a in batch.xs.items()}
        key = (training, *types.items())
        if not training and not self.trace(batch).asked:
            return self.trace(batch)
        if key not in self.steps:
            try:
                self.steps[key] = trace_step(
                    self.model, unnamed(types), self.dtype, training=training
                )
            except TypeRuleError as error:
                raise type(error)(f"{error}\n{_read_as(batch, types)}") from error
        return self.steps[key]

    def compile(
        self, batch: Batch, stretch: int | None = None, *, met: bool = True
    ) -> Compiled:  # fmt: skip
        """Return the model compiled for the types of a batch with targets.

        ``stretch`` is the number of steps with fixed weights; by default all of them. ``met`` says
        whether the batch is one that was met, and not only its types.

        Raises
        ------
        etp.DataError
            If there are no targets.
        """
        if batch.ys is None:
            raise DataError("there are no targets: ys is None")
        step = self.trace(batch)
        target = step_type(batch.ys, self.dtype)
        key = (id(step), target)
        if key not in self.compiled:
            metrics = getattr(self.loss, "metrics", {})
            traced = with_loss(step, target, self.loss, metrics)
            self.compiled[key] = Compiled(step, traced, self.options)
        output = self.compiled[key].loss.program.output("output").type
        check_labels(self.loss, batch.ys, batch.mask, output.shape[-1] if output.rank else 1)
        self.seen = self.compiled[key], batch.length, batch.size
        self.stretch = min(stretch or batch.length, batch.length)
        self.warn(self.compiled[key], batch.length, batch.size if met else None)
        return self.compiled[key]

    def warn(self, compiled: Compiled, length: int, size: int | None) -> None:
        """Issue the warnings of what was compiled, each once for this model."""
        case = (id(compiled), self.stretch < length, compiled.streamed, size == 1)
        if case in self.looked:
            return
        self.looked.add(case)
        records = compiled.diagnostics(self.stretch, length, size)
        warn(r for r in records if (r.kind, r.parameter, r.state) not in self.warned)
        self.warned.update((r.kind, r.parameter, r.state) for r in records)

    def last(self) -> tuple[Compiled, int, int]:
        """Return what was compiled last.

        Raises
        ------
        etp.ModelError
            If nothing was.
        """
        if self.seen is None:
            raise ModelError(
                compose("nothing is compiled yet: the types of the data are not known",
                        how="pass example=(x, y) of one step and one example to etp.compile, "
                            "or call grad or fit first")
            )  # fmt: skip
        return self.seen

    def executable(
        self, key: tuple[Any, ...], owner: TracedStep | Compiled, make: Callable[[], Program],
        batch: Batch | None = None,
    ) -> Executable:  # fmt: skip
        """Return the executable for a key, compiling the program that ``make`` returns once.

        For a batch parts of which are the same at all steps, it takes these for one step.
        """
        still = () if batch is None else batch.still
        full = (id(owner), *key, *still)
        if full not in self.executables:
            program = make()
            if batch is not None and still:
                step = owner.step if isinstance(owner, Compiled) else owner
                ports = dict(zip(batch.xs, step.inputs, strict=True))
                targets = [p.name for p in program.inputs_of("target") if "ys" in still]
                program = held_still(program, [*(ports[n] for n in still if n != "ys"), *targets])
            self.executables[full] = self.backend.compile(program)
        return self.executables[full]

    # -- arguments and results --------------------------------------------------------------
    def initial_states(self, step: TracedStep, size: int) -> dict[str, Any]:
        """Return the model's initial states for a batch."""
        return {n: np.repeat(x[None], size, axis=0) for n, x in step.states.items()}

    def arguments(
        self, program: Program, step: TracedStep, constants: Mapping[str, Any],
        params: Mapping[str, Any], batch: Batch, draw: Stretch, weights: Any = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Return the arrays for the inputs of a program, all but traces and optimiser.

        Raises
        ------
        etp.DataError
            If an input holds an index that an embedding has no row for.
        """
        given: dict[str, Any] = {**constants, **self.initial_states(step, batch.size), **params}
        xs = dict(zip(step.inputs, batch.xs.values(), strict=True))
        if id(step) not in self.ranges:
            self.ranges[id(step)] = index_ranges(step.program)
        check_indices(self.ranges[id(step)], xs)
        given.update(xs)
        for port in program.inputs:
            if port.role.kind == "target":
                given[port.name] = batch.ys
            elif port.name == MODULATOR:
                given[port.name] = self._modulator(batch, port.type.shape)
            elif port.role.kind == "state" and port.name not in given:
                # What units emit, kept only so that traces speak of it.
                given[port.name] = np.zeros((batch.size, *port.type.shape[1:]), self.dtype.numpy())
            elif port.role.kind == "weight":
                given[port.name] = weights.astype(self.dtype.numpy())
            elif port.role.kind == "noise":
                given[port.name] = draw.keys(port.role.of[0], batch.length, batch.size)
        for port in program.inputs_of("input", "target"):
            if port.name in given and given[port.name].ndim > port.type.rank:
                given[port.name] = given[port.name][0]  # the same at all steps
        return {p.name: given[p.name] for p in program.inputs if p.name in given}

    def _modulator(self, batch: Batch, shape: tuple[int, ...]) -> Any:
        if batch.modulator is None:
            raise missing_modulator(self.options.rule)
        if batch.modulator.shape != shape:
            raise wrong_modulator(batch.modulator.shape, shape)
        return batch.modulator.astype(self.dtype.numpy())

    def metrics(self, out: Mapping[str, Any]) -> dict[str, float]:
        """Return the loss and the metrics among a program's outputs."""
        found = {"loss": float(self.backend.to_numpy(out["loss"]))}
        for key, x in out.items():
            if key.startswith("metric("):
                found[key[7:-1]] = float(self.backend.to_numpy(x))
        return found

    def stream(self, compiled: Compiled, size: int) -> dict[str, Any]:
        """Return initial states and empty traces, by input name."""
        to = self.backend.asarray
        kind = self.dtype.numpy()
        fresh = {
            n: to(np.zeros((size, *compiled.program.input(n).type.shape), kind))
            for n in compiled.states
        }
        fresh.update({n: to(x) for n, x in self.initial_states(compiled.step, size).items()})
        for a in compiled.steps.traces:
            shape = a.type.shape if a.shared else (size, *a.type.shape)
            fresh[a.name] = to(np.zeros(shape, a.type.dtype.numpy()))
        return fresh


def missing_modulator(rule: LearningRule) -> DataError:
    """Return the error of a rule that asks for a modulator where none is given."""
    return DataError(
        f"the learning signal of {rule.name} is a modulator, and none is given\n"
        "pass modulator= to grad or step, or a fourth item in each batch of fit"
    )


def wrong_modulator(given: tuple[int, ...], expected: tuple[int, ...]) -> ShapeError:
    """Return the error of a modulator of another shape than the rule's signal asks for."""
    return mistake(
        ShapeError, f"modulator has shape {given}, expected {expected}",
        "give one number for each step and example, and for each hidden group on a last axis "
        "where the signal is Modulatory(per_group=True), there only",
    )  # fmt: skip


def named(xs: Any) -> dict[str, Any]:
    """Return inputs by name: one array, or a dict or tuple of them."""
    if isinstance(xs, Mapping):
        for key in xs:
            if not isinstance(key, str) or key.isdigit():
                raise DataError(f"inputs in a dict are named by words, got the key {key!r}\n"
                                "pass a tuple for numbered inputs")  # fmt: skip
        return {f"x.{k}": v for k, v in xs.items()}
    if isinstance(xs, tuple):
        return {f"x.{i}": v for i, v in enumerate(xs)}
    return {"x": xs}


def unnamed(types: dict[str, Any]) -> Any:
    """Return the inverse of `named`: one type, a dict, or a tuple."""
    if list(types) == ["x"]:
        return types["x"]
    keys = [n.split(".", 1)[1] for n in types]
    if keys == [str(i) for i in range(len(keys))]:
        return tuple(types.values())
    return dict(zip(keys, types.values(), strict=True))


def _read_as(batch: Batch, types: Mapping[str, Any]) -> str:
    """Return how the axes of the inputs were understood: the usual reason why a shape is wrong."""
    shapes = ", ".join(f"{n} {t}" for n, t in types.items())
    return (f"the data, expected as (T, B, ...), were read as {batch.length} steps of {batch.size} "
            f"examples, each {shapes}")  # fmt: skip
