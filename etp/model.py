"""Models: modules that hold parameters and states, and the trace of one step of one."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from attrs import define, field, frozen

from etp_ir.builder import Builder
from etp_ir.core import Program, Role, Value
from etp_ir.errors import ModelError, compose, nearest
from etp_ir.source import Source, traced_call
from etp_ir.tracer import Tracer, operand, unwrap
from etp_ir.types import F32, DType, TensorType, dtype_of, type_of

from .given import mistake
from .initial import enter
from .mode import evaluation
from .naming import named_by_locals
from .outline import outline
from .place import place_of
from .variables import Buffer, Param, State, StepTrace, Variable, current_trace

__all__ = ["Buffer", "Found", "Module", "Param", "State", "TracedStep", "collect", "trace_step"]


class Module:
    """Base class of models and their parts.

    Attributes hold parameters, states and further modules, also in lists, tuples and dicts; each
    gets a dotted path such as ``layers.0.w``. ``__call__`` computes one step of one example: it
    reads and assigns the ``.value`` of states and returns an array.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the output of one step for one example, and advance the states."""
        raise ModelError(
            compose(
                f"{type(self).__name__} has no __call__",
                where=place_of(type(self)),
                how="define __call__(self, x): one step for one example, returning its output",
            )
        )

    __repr__ = outline

    def __setattr__(self, name: str, value: Any) -> None:
        held = self.__dict__.get(name)
        if isinstance(held, Variable) and not isinstance(value, Variable):
            raise mistake(
                ModelError, f"self.{name} is a {type(held).__name__} and would be lost",
                f"assign to self.{name}.value",
            )  # fmt: skip
        trace = current_trace()
        if trace is not None and id(self) in trace.modules:
            raise mistake(
                ModelError, f"self.{name} is assigned inside a step of {type(self).__name__}",
                "keep what lasts from step to step in an etp.State and assign to its .value",
            )  # fmt: skip
        super().__setattr__(name, value)

    def named_params(self) -> dict[str, Param]:
        """Return the parameters by path; a shared one under its first path."""
        return collect(self).params

    def named_states(self) -> dict[str, State]:
        """Return the states by path; a shared one under its first path."""
        return collect(self).states

    def named_buffers(self) -> dict[str, Buffer]:
        """Return the buffers by path; a shared one under its first path."""
        return collect(self).buffers

    def reset_states(self) -> None:
        """Set every state to its initial value."""
        for state in self.named_states().values():
            state.reset()

    def state_dict(self) -> dict[str, np.ndarray[Any, Any]]:
        """Return copies of all parameters, states and buffers by path."""
        return {p: np.array(v.value) for p, v in collect(self).variables.items()}

    def load_state_dict(self, arrays: Mapping[str, Any]) -> None:
        """Set parameters, states and buffers from arrays by path.

        Raises
        ------
        ModelError
            If a path is missing or unknown.
        ShapeError
            If an array has the wrong shape; nothing is changed then.
        """
        variables = collect(self).variables
        for path in arrays:
            if path not in variables:
                raise ModelError(f"no parameter or state {path!r}{nearest(path, list(variables))}")
        missing = [path for path in variables if path not in arrays]
        if missing:
            raise mistake(
                ModelError, f"no array for {', '.join(missing)}",
                "give all that state_dict() returns; learner.copy_to(model) puts what a learner "
                "has trained into its model",
            )  # fmt: skip
        before = {path: v.value for path, v in variables.items()}
        try:
            for path, variable in variables.items():
                variable.value = arrays[path]
        except Exception:
            for path, old in before.items():
                variables[path].value = old
            raise


# -- what a model holds ---------------------------------------------------------------------
@define
class Found:
    """What a module holds, by dotted path in order of definition.

    Attributes
    ----------
    aliases
        Further paths of shared variables, each with the path it is listed under.
    arrays
        Plain arrays kept as attributes; those a step uses become constants of that name.
    modules
        The module and all its submodules; the module itself under the empty path.
    """

    params: dict[str, Param] = field(factory=dict)
    states: dict[str, State] = field(factory=dict)
    buffers: dict[str, Buffer] = field(factory=dict)
    aliases: dict[str, str] = field(factory=dict)
    arrays: dict[str, Any] = field(factory=dict)
    modules: dict[str, Module] = field(factory=dict)

    @property
    def variables(self) -> dict[str, Variable]:
        """Parameters, states and buffers by path."""
        return {**self.params, **self.states, **self.buffers}


def collect(module: Module) -> Found:
    """Return the parameters, states, arrays and submodules that a module reaches."""
    found = Found()
    first: dict[int, str] = {}
    for path, item in _walk(module, "", ()):
        if isinstance(item, Module):
            found.modules.setdefault(path, item)
            continue
        if id(item) in first:
            if isinstance(item, Variable):
                found.aliases[path] = first[id(item)]
            continue
        first[id(item)] = path
        table: dict[str, Any] = (
            found.params if isinstance(item, Param)
            else found.states if isinstance(item, State)
            else found.buffers if isinstance(item, Buffer) else found.arrays
        )  # fmt: skip
        if path in found.variables:
            raise ModelError(f"two variables have the path {path!r}; rename a key of a dict")
        table[path] = item
    return found


def _walk(item: Any, path: str, above: tuple[int, ...]) -> Iterator[tuple[str, Any]]:
    """Yield variables, arrays and modules below an item; a reference to a parent is skipped."""
    if isinstance(item, (Variable, np.ndarray)):
        yield path, item
        if isinstance(item, State) and item.initial is not None:
            yield f"{path}.init", item.initial
        return
    if id(item) in above:
        return
    if isinstance(item, Module):
        yield path, item
        parts = list(vars(item).items())
    elif isinstance(item, dict):
        parts = [("_".join(str(k).split()), v) for k, v in item.items()]
    elif isinstance(item, (list, tuple)):
        parts = [(str(i), v) for i, v in enumerate(item)]
    else:
        return
    for name, part in parts:
        yield from _walk(part, f"{path}.{name}" if path else name, (*above, id(item)))


# -- tracing one step -----------------------------------------------------------------------
@frozen
class TracedStep:
    """One step of a model for one example, as a program, with the values to start from.

    Attributes
    ----------
    program
        Inputs: those of the step (role ``input``), parameters (``param``), states (``state``)
        buffers (``buffer``) and captured arrays (``const``). Outputs: ``output``, ``state(path)``
        for each state and ``buffer(path)`` for each buffer.
    params
        Initial parameters by path, in the element type of the program.
    states
        Initial states by path; where initial states are trained, also whether the step is the
        first.
    constants
        Captured arrays by input name.
    aliases
        Further paths of shared variables.
    inputs
        Name of each input of the step, with its key where ``x`` is a dict or a tuple.
    places
        The user's own lines where parameters and states were made, by path.
    asked
        Whether the model asked for the mode it runs in, so that the other gives another program.
    buffers
        First values of buffers by path.
    """

    program: Program
    params: dict[str, np.ndarray[Any, Any]]
    states: dict[str, np.ndarray[Any, Any]]
    constants: dict[str, np.ndarray[Any, Any]]
    aliases: dict[str, str]
    inputs: dict[str, Any]
    places: dict[str, Source] = field(factory=dict)
    asked: bool = False
    buffers: dict[str, np.ndarray[Any, Any]] = field(factory=dict)

    def bind(self, x: Any) -> dict[str, Any]:
        """Return the arrays of ``x`` by input name."""
        return {name: x if key is None else x[key] for name, key in self.inputs.items()}


def trace_step(
    model: Module, x_type: Any, dtype: DType | str = F32, name: str | None = None, *,
    training: bool = True,
) -> TracedStep:  # fmt: skip
    """Return one step of a model for one example, traced; the model is left as it was.

    Parameters
    ----------
    x_type
        Type of the input of one step for one example, or a dict or tuple of types, which the
        model then receives as a dict or tuple of arrays. Floating-point inputs take ``dtype``.
    dtype
        Floating-point type of parameters, states and constants.
    training
        What `etp.training` answers.

    Raises
    ------
    ModelError
        If the model cannot be traced, with the user's line.
    ShapeError
        If shapes inside the step do not fit, with the user's line.
    """
    if not isinstance(model, Module):
        raise ModelError(
            compose(f"a model must be an etp.Module, got {type(model).__name__}",
                    how="write `class Net(etp.Module)` with __init__ and __call__(self, x)")
        )  # fmt: skip
    chosen = dtype_of(dtype)
    found = collect(model)
    _check_contents(model, found)
    builder = Builder(name or type(model).__name__, float_dtype=chosen, track_source=True)
    builder.constant_names = {id(a): path for path, a in found.arrays.items()}
    trace = StepTrace(builder, modules={id(m): m for m in found.modules.values()})
    inputs, x = _open_inputs(builder, x_type, chosen, found)
    params, states, buffers = _open_variables(trace, found, chosen)
    started = enter(trace, found.states)
    _check_signature(model, x)
    paths = {id(m): path for path, m in reversed(found.modules.items())}
    with trace.active(), evaluation(not training), named_by_locals(builder, paths):
        result = traced_call(model, x)
    with trace.active():
        output = _output(builder, model, unwrap(result))
    outputs: list[tuple[Any, Role]] = [(output, Role("output"))]
    # A state that the step did not assign keeps its value.
    outputs += [(trace.values[id(s)].value, Role("state", (p,))) for p, s in found.states.items()]
    outputs += [(operand(builder, False), Role("state", (name,))) for name in started]
    outputs += [(trace.values[id(b)].value, Role("buffer", (p,))) for p, b in found.buffers.items()]
    return TracedStep(
        builder.finish(outputs), params, {**states, **started}, dict(builder.bindings),
        found.aliases, inputs, _places(found), trace.asked, buffers,
    )  # fmt: skip


def _places(found: Found) -> dict[str, Source]:
    """Return where parameters, states and buffers were made, by path."""
    return {path: v.source for path, v in found.variables.items() if v.source is not None}


def _open_inputs(
    builder: Builder, x_type: Any, dtype: DType, found: Found
) -> tuple[dict[str, Any], Any]:
    """Add the inputs of the step; return their keys by name, and what the model receives."""
    taken = {path.split(".")[0] for path in found.variables}
    prefix = next(n for n in ("x", "input", "step_input") if n not in taken)

    def one(name: str, type: TensorType) -> Tracer:
        fit = type.with_dtype(dtype) if type.dtype.is_float else type
        return Tracer(builder, builder.input(name, fit, "input"))

    if isinstance(x_type, TensorType):
        return {prefix: None}, one(prefix, x_type)
    keyed = x_type.items() if isinstance(x_type, Mapping) else enumerate(x_type)
    names = {f"{prefix}.{key}": (key, type) for key, type in keyed}
    tracers = {key: one(name, type) for name, (key, type) in names.items()}
    x = tracers if isinstance(x_type, Mapping) else tuple(tracers.values())
    return {name: key for name, (key, _) in names.items()}, x


def _open_variables(trace: StepTrace, found: Found, dtype: DType) -> tuple[Any, Any, Any]:
    """Add parameters, states and buffers as inputs; return their initial values by path."""
    builder = trace.builder
    params: dict[str, np.ndarray[Any, Any]] = {}
    states: dict[str, np.ndarray[Any, Any]] = {}

    def add(variable: Variable, path: str, array: Any, wanted: DType, role: str) -> Any:
        data = np.array(array).astype(wanted.numpy())
        value = builder.input(path, type_of(data), role)
        trace.values[id(variable)] = Tracer(builder, value)
        trace.types[id(variable)], trace.paths[id(variable)] = value.type, path
        return data

    for path, param in found.params.items():
        if param.trainable:
            params[path] = add(param, path, param.value, dtype, "param")
        else:
            builder.constant_names[id(param.value)] = path
            trace.values[id(param)] = Tracer(builder, builder.constant(param.value))
            trace.paths[id(param)] = path
    for path, state in found.states.items():
        states[path] = add(
            state, path, state.init, state.declared or kind_of(state.init, dtype), "state"
        )
    buffers = {
        path: add(buffer, path, buffer.value, kind_of(buffer.value, dtype), "buffer")
        for path, buffer in found.buffers.items()
    }
    return params, states, buffers


def kind_of(array: Any, dtype: DType) -> DType:
    """Return the model's floating-point type, unless an array is of another kind."""
    own = type_of(array).dtype
    return dtype if own.is_float else own


def _output(builder: Builder, model: Module, result: Any) -> Value | Any:
    """Return the operand of what ``__call__`` returned."""
    if result is None:
        what, how = "returned None", "end it with `return` and the output of the step"
    elif isinstance(result, (list, tuple, dict)):
        what = f"returned a {type(result).__name__} of {len(result)}"
        how = "return one array; join several with xp.concat"
    else:
        return operand(builder, result)
    raise ModelError(
        compose(f"{type(model).__name__}.__call__ {what}", where=f"at {_place(model)}", how=how)
    )


# -- checks ---------------------------------------------------------------------------------
def _place(module: Module) -> Source | str:
    """Return where the module's ``__call__`` is defined."""
    code = getattr(inspect.unwrap(type(module).__call__), "__code__", None)
    if code is None:
        return type(module).__qualname__
    return Source(code.co_filename, code.co_firstlineno, code.co_qualname)


def _check_contents(model: Module, found: Found) -> None:
    kind = type(model).__name__
    if not found.states:
        what = f"{kind} has no State: nothing carries over from one step to the next (ETP307)"
        how = "keep an etp.State in an attribute, or add a cell of etp.nn"
    elif not any(p.trainable for p in found.params.values()):
        what, how = f"{kind} has no Param to train (ETP110)", "keep an etp.Param in an attribute"
    else:
        return
    raise ModelError(compose(what, where=f"at {_place(model)}", how=how))


def _check_signature(model: Module, x: Any) -> None:
    signature = inspect.signature(type(model).__call__)
    try:
        signature.bind(model, x)
        if isinstance(x, Mapping) and not x.keys().isdisjoint([*signature.parameters][2:]):
            raise TypeError  # their arguments would be left out
    except TypeError:
        raise ModelError(
            compose(
                f"{type(model).__name__}.__call__{signature} must take one argument after self, "
                "the input of one step",
                where=f"at {_place(model)}", how="pass a dict or a tuple, and take each out of it",
            )
        ) from None  # fmt: skip
