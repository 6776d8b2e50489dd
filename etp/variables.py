"""What a model keeps between steps: parameters and states, which act as arrays.

Outside a trace a variable holds a concrete array. While a step is being traced its value is
looked up in the trace, and writes go there, so that tracing never changes the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
from attrs import define, field

from etp_ir import namespace as xp
from etp_ir.builder import Builder
from etp_ir.errors import ModelError, ShapeError
from etp_ir.namespace.dispatch import array
from etp_ir.source import user_source
from etp_ir.tracer import Tracer, is_number, unwrap
from etp_ir.types import F32, DType, TensorType, dtype_of, type_of

from .arraylike import ArrayLike
from .given import extents_of, fitted, mistake, numbers
from .naming import give_name


@define
class StepTrace:
    """The step that is being traced: what each variable currently stands for.

    Attributes
    ----------
    values
        Current value of each variable, by identity.
    types
        Type of each state, which a new value must have.
    paths
        Dotted path of each variable, by identity.
    modules
        The modules of the model, by identity; they are closed for assignment.
    written
        States assigned so far, by identity.
    noise
        Keys of random numbers, by the period after which they change.
    sites
        Random draws so far.
    looping
        How many loops that are nodes of the program are being recorded.
    asked
        Whether the model asked for the mode it runs in.
    """

    builder: Builder
    values: dict[int, Any] = field(factory=dict)
    types: dict[int, TensorType] = field(factory=dict)
    paths: dict[int, str] = field(factory=dict)
    modules: Mapping[int, Any] = field(factory=dict)
    written: dict[int, Tracer] = field(factory=dict)
    noise: dict[str, Tracer] = field(factory=dict)
    sites: int = 0
    looping: int = 0
    asked: bool = False

    @contextmanager
    def active(self) -> Iterator[None]:
        """Let variables resolve here inside the block."""
        token = _CURRENT.set(self)
        try:
            yield
        finally:
            _CURRENT.reset(token)


_CURRENT: ContextVar[StepTrace | None] = ContextVar("etp_step_trace", default=None)


def current_trace() -> StepTrace | None:
    """Return the step being traced, if any."""
    return _CURRENT.get()


class Variable(ArrayLike):
    """An array that outlives a step; the base of `Param` and `State`."""

    def __init__(self, array: Any) -> None:
        self._array = array
        self.source = user_source()

    # -- value ------------------------------------------------------------------------------
    @property
    def value(self) -> Any:
        """The current array: concrete, or traced while a step is being traced."""
        trace = _CURRENT.get()
        if trace is None:
            return self._array
        if id(self) not in trace.values:
            raise mistake(
                ModelError, f"{self!r} is used by the model but is not part of it",
                "keep it in an attribute of the module, or in a list, tuple or dict there",
            )  # fmt: skip
        return trace.values[id(self)]

    @value.setter
    def value(self, new: Any) -> None:
        self._assign(unwrap(new), _CURRENT.get())

    def _assign(self, new: Any, trace: StepTrace | None) -> None:
        raise NotImplementedError

    # -- attributes that tracing does not change --------------------------------------------
    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return tuple(self._array.shape)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({type_of(self._array)})"

    def __setitem__(self, key: Any, item: Any) -> None:
        raise mistake(
            ModelError, f"{self!r} cannot be changed in place",
            "assign a new array to its .value, built with xp.where, xp.concat or xp.stack",
        )  # fmt: skip


class Param(Variable):
    """A weight of the model.

    Parameters
    ----------
    array
        Initial value; it is copied.
    trainable
        Whether it is learned. One that is not becomes a constant of the compiled step.

    Examples
    --------
    >>> w = Param(np.ones((2, 3)))
    >>> (2 * w).shape
    (2, 3)
    """

    def __init__(self, array: Any, *, trainable: bool = True) -> None:
        data = np.array(unwrap(array), copy=True)
        if trainable and not type_of(data).dtype.is_float:
            raise mistake(
                ModelError, f"a trained parameter of element type {data.dtype}",
                "give floating-point numbers, or trainable=False",
            )  # fmt: skip
        super().__init__(data)
        self.trainable = trainable

    def _assign(self, new: Any, trace: StepTrace | None) -> None:
        if trace is not None:
            raise mistake(
                ModelError, f"{self!r} is assigned inside a step; only a State can be",
                "use etp.State for what changes from step to step",
            )  # fmt: skip
        self._array = fitted(new, self.shape, type_of(self._array).dtype, repr(self))


class State(Variable):
    """What the model carries from one step to the next; it keeps its value until assigned.

    Parameters
    ----------
    shape
        Shape for one example, without a batch axis; that of ``init`` if not given.
    init
        Value at the start of every sequence: a number or an array; zero if not given. A trained
        `Param` makes the start learned: it has a trace and a gradient like other weights.
    dtype
        Element type; if not given, the floating-point type the model is compiled for.

    Examples
    --------
    >>> State(init=Param(np.ones(3))).shape
    (3,)
    """

    def __init__(self, shape: Any = None, init: Any = None, dtype: Any = None) -> None:
        if shape is None and init is None:
            raise mistake(
                ModelError, "a State needs a shape", "give its shape for one example, such as (3,)"
            )
        self.initial = init if isinstance(init, Param) else None
        if shape is None:
            shape = np.shape(unwrap(init))
        extents = extents_of(shape)
        self.declared: DType | None = None if dtype is None else dtype_of(dtype)
        if self.initial is not None and self.declared is not None:
            raise mistake(
                ModelError, "a State that starts from a Param has the element type of parameters",
                "leave dtype out, or give an array as init",
            )  # fmt: skip
        chosen = (self.declared or F32).numpy()
        start = np.zeros(extents, chosen)
        if init is not None:
            data = numbers(init)
            typed = self.declared is None and (data.ndim or isinstance(init, np.ndarray))
            data = data if typed else data.astype(chosen)
            whole = self.initial is None and not data.ndim
            start = fitted(data[()] if whole else data, extents, None, "a State's init")
        self._start = start
        super().__init__(start)

    @property
    def init(self) -> Any:
        """Value at the start of every sequence."""
        return self._start if self.initial is None else self.initial._array

    def reset(self) -> None:
        """Return to the initial value."""
        if _CURRENT.get() is not None:
            raise mistake(
                ModelError, "a state is reset inside a step", "assign to its .value instead"
            )
        self._array = self.init

    def _assign(self, new: Any, trace: StepTrace | None) -> None:
        _put(self, new, trace, self.declared)


class Buffer(Variable):
    """What a model keeps for good: shared by all examples, and not reset with a sequence.

    For running statistics: a learner hands it from one sequence to the next and puts it into its
    state dict; it is not trained, and a constant for differentiation. In a batch all examples see
    the same value, so what is assigned must be the same for all: a mean over them,
    `etp.batch_mean`.

    Parameters
    ----------
    init
        First value: an array of numbers.

    Examples
    --------
    >>> Buffer(np.zeros(3)).shape
    (3,)
    """

    def __init__(self, init: Any) -> None:
        super().__init__(np.array(numbers(init, "a Buffer")))

    def _assign(self, new: Any, trace: StepTrace | None) -> None:
        if isinstance(new, Tracer) and new.dtype.is_float:
            new = xp.stop_gradient(new)
        _put(self, new, trace, type_of(self._array).dtype)


def _put(variable: Variable, new: Any, trace: StepTrace | None, declared: DType | None) -> None:
    """Assign a State or a Buffer: for good, or in the step that is being traced."""
    kind = type(variable).__name__
    if trace is None:
        if isinstance(new, Tracer):
            raise mistake(
                ModelError, f"{variable!r} is assigned a traced value outside the traced step",
                "assign states in the model's __call__ only",
            )  # fmt: skip
        variable._array = fitted(new, variable.shape, declared, repr(variable))
        return
    variable.value  # noqa: B018  raises for one that is not part of the model
    key = id(variable)
    wanted, path = trace.types[key], trace.paths[key]
    new = xp.full_like(trace.values[key], new) if is_number(new) else array(trace.builder, new)
    if new.type != wanted:
        error, how = (
            (ShapeError, f"assign an array of the shape that the {kind} declares")
            if new.shape != wanted.shape
            else (ModelError, f"convert it with xp.astype(..., xp.{wanted.dtype.array_name})")
        )
        raise mistake(
            error,
            f"{kind.lower()} {path!r} is {wanted} and was assigned a value of type {new.type}", how,
        )  # fmt: skip
    give_name(new, f"{path}_next")
    trace.values[key] = trace.written[key] = new
