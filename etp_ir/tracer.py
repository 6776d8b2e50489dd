"""Symbolic arrays: operations on them append nodes to a program.

Everything that produces IR is written with `Tracer` objects: models, losses, optimisers,
learning rules, and the derivative rules of the primitives themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .builder import Builder
from .core import Literal, Operand, Program, Role, Value
from .errors import TraceError, TypeRuleError, compose
from .primitive import Primitive
from .source import user_source
from .types import BOOL, F32, I32, DType, TensorType, promote

Number = bool | int | float


class Tracer:
    """A symbolic array: an operand of the program that `builder` is collecting.

    It follows the Python array-API standard: operators, indexing, ``shape``, ``dtype``,
    ``__array_namespace__``; NumPy functions called on it are traced too.
    """

    __slots__ = ("builder", "value")
    __array_priority__ = 1000

    def __init__(self, builder: Builder, value: Value) -> None:
        self.builder = builder
        self.value = value

    # -- attributes of an array -------------------------------------------------------------
    @property
    def type(self) -> TensorType:
        """Element type and shape."""
        return self.value.type

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape, always static."""
        return self.value.type.shape

    @property
    def dtype(self) -> DType:
        """Element type."""
        return self.value.type.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.value.type.rank

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.value.type.size

    @property
    def T(self) -> Tracer:
        """Transpose of a matrix."""
        return self._xp().matrix_transpose(self)

    @property
    def mT(self) -> Tracer:
        """Transpose of the last two axes."""
        return self._xp().matrix_transpose(self)

    def __repr__(self) -> str:
        name = f"%{self.value.hint}: " if self.value.hint else ""
        return f"<Tracer {name}{self.type}>"

    def __len__(self) -> int:
        if not self.shape:
            raise TypeRuleError("a scalar has no length")
        return self.shape[0]

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    # -- what only a concrete array can do --------------------------------------------------
    def _concrete(self, what: str, how: str) -> TraceError:
        where = f"traced value of type {self.type}"
        source = user_source()
        if source is not None:
            where += f"\nat {source}"
        return TraceError(compose(what, where=where, how=how))

    def __bool__(self) -> bool:
        raise self._concrete(
            "a traced value has no truth value, so Python cannot branch on it",
            "use xp.where(condition, a, b) to select element by element, etp.cond(condition, f, g) "
            "for `if`, or etp.while_loop(test, body, value) for `while`",
        )

    def __float__(self) -> float:
        raise self._concrete(
            "a traced value is not a number yet", "keep it as an array and use functions of xp"
        )

    __int__ = __index__ = __complex__ = __float__

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise self._concrete(
            "a traced value cannot become a NumPy array", "use functions of etp.xp on it"
        )

    # -- protocols --------------------------------------------------------------------------
    def _xp(self) -> Any:
        from . import namespace

        return namespace

    def __array_namespace__(self, api_version: str | None = None) -> Any:
        return self._xp()

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return self._xp().from_numpy(ufunc.__name__, method, inputs, kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return self._xp().from_numpy(func.__name__, "__call__", args, kwargs)

    # -- methods ----------------------------------------------------------------------------
    def astype(self, dtype: Any) -> Tracer:
        """Return the array converted to another element type."""
        return self._xp().astype(self, dtype)

    def reshape(self, *shape: Any) -> Tracer:
        """Return the elements in another shape."""
        target = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
        return self._xp().reshape(self, tuple(target))

    def sum(self, axis: Any = None, keepdims: bool = False) -> Tracer:
        """Return the sum over axes."""
        return self._xp().sum(self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> Tracer:
        """Return the mean over axes."""
        return self._xp().mean(self, axis=axis, keepdims=keepdims)

    def max(self, axis: Any = None, keepdims: bool = False) -> Tracer:
        """Return the maximum over axes."""
        return self._xp().max(self, axis=axis, keepdims=keepdims)

    def __getitem__(self, key: Any) -> Tracer:
        return self._xp().getitem(self, key)

    def __setitem__(self, key: Any, item: Any) -> None:
        raise self._concrete(
            "a traced array cannot be changed in place",
            "build a new one with xp.where, xp.concat or xp.stack",
        )


def _binary(name: str, reflected: bool = False) -> Callable[[Tracer, Any], Any]:
    def method(self: Tracer, other: Any) -> Any:
        # NumPy's way to say that the other side knows better what an operator means.
        if getattr(type(other), "__array_ufunc__", self) is None:
            return NotImplemented
        function = getattr(self._xp(), name)
        return function(other, self) if reflected else function(self, other)

    return method


for _dunder, _name in {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "pow": "pow",
    "matmul": "matmul", "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor",
    "mod": "remainder", "floordiv": "floor_divide",
    "lshift": "bitwise_left_shift", "rshift": "bitwise_right_shift",
}.items():  # fmt: skip
    setattr(Tracer, f"__{_dunder}__", _binary(_name))
    setattr(Tracer, f"__r{_dunder}__", _binary(_name, reflected=True))
for _dunder, _name in {
    "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal",
    "eq": "equal", "ne": "not_equal",
}.items():  # fmt: skip
    setattr(Tracer, f"__{_dunder}__", _binary(_name))
for _dunder, _name in {
    "neg": "negative", "pos": "positive", "abs": "abs", "invert": "bitwise_invert",
}.items():  # fmt: skip
    setattr(Tracer, f"__{_dunder}__", lambda self, _n=_name: getattr(self._xp(), _n)(self))
Tracer.__hash__ = object.__hash__  # type: ignore[method-assign]


# -- binding -------------------------------------------------------------------------------
def unwrap(item: Any) -> Any:
    """Return what an argument stands for: parameters and states give their current value."""
    if isinstance(item, Tracer):
        return item
    getter = getattr(item, "__etp_value__", None)
    return getter() if getter is not None else item


def is_number(item: Any) -> bool:
    """Whether the item is a Python or NumPy scalar."""
    return isinstance(item, (bool, int, float, np.bool_, np.integer, np.floating))


def find_builder(items: Sequence[Any]) -> Builder | None:
    """Return the builder of the traced items, or None when all are concrete.

    Raises
    ------
    TraceError
        If items belong to two traces.
    """
    found: Builder | None = None
    for item in items:
        if isinstance(item, Tracer):
            if found is not None and item.builder is not found:
                source = user_source()
                raise TraceError(
                    compose(
                        f"a value traced in @{found.name} met one traced in @{item.builder.name}",
                        where=f"at {source}" if source else "",
                        how="a traced value lives only while its function is traced: "
                        "pass it as an argument instead of keeping it",
                    )
                )
            found = item.builder
    return found


def literal(number: Any, dtype: DType) -> Literal:
    """Return the literal of a number in an element type.

    Raises
    ------
    TypeRuleError
        If a fraction is wanted as an integer.
    """
    if dtype.is_float:
        return Literal(float(number), dtype)
    if dtype is BOOL:
        return Literal(bool(number), dtype)
    if not float(number).is_integer():
        raise TypeRuleError(f"{number} is not a number of type {dtype}; use xp.astype first")
    return Literal(int(number), dtype)


def operand(builder: Builder, item: Any, dtype: DType | None = None) -> Operand:
    """Return the operand for a tracer, a number or a concrete array."""
    if isinstance(item, Tracer):
        return item.value
    if is_number(item):
        if dtype is None:
            whole = I32 if isinstance(item, (int, np.integer)) else builder.float_dtype
            dtype = BOOL if isinstance(item, (bool, np.bool_)) else whole
        return literal(item, dtype)
    if isinstance(item, (Value, Literal)):
        return item
    return builder.constant(item)


def wrap(builder: Builder, op: Operand) -> Any:
    """Return what rules see of an operand: a tracer, or a plain number."""
    return Tracer(builder, op) if isinstance(op, Value) else op.value


def bind(primitive: Primitive, *items: Any, hint: str = "", **attrs: Any) -> Any:
    """Apply a primitive: append a node if an operand is traced, else compute with NumPy.

    Numbers among the operands take the element type of the arrays beside them.
    """
    items = tuple([unwrap(item) for item in items])
    builder = find_builder(items)
    if builder is None:
        return primitive.reference(*(np.asarray(x) for x in items), **attrs)
    dtype = None
    for item in items:
        if isinstance(item, Tracer) and (item.dtype is not BOOL or dtype is None):
            dtype = item.dtype if dtype is None else promote(dtype, item.dtype)
    outputs = builder.emit(
        primitive, [operand(builder, item, dtype if is_number(item) else None) for item in items],
        attrs, hint,
    )  # fmt: skip
    tracers = tuple([Tracer(builder, value) for value in outputs])
    return tracers[0] if len(tracers) == 1 else tracers


# -- whole programs ------------------------------------------------------------------------
def trace(
    function: Callable[..., Any],
    types: dict[str, TensorType],
    *,
    name: str = "program",
    roles: dict[str, Role] | None = None,
    outputs: Sequence[Role | str] | None = None,
    float_dtype: DType | None = None,
) -> tuple[Program, dict[str, np.ndarray[Any, Any]]]:
    """Trace ``function(**tracers)`` and return the program and the arrays it captured.

    Parameters
    ----------
    function
        Called with one tracer per entry of ``types``; returns an array or a sequence of arrays.
    types
        Name and type of each input.
    roles
        Role of each input; ``input`` where none is given.
    outputs
        Role of each result; ``output(i)`` where none is given.
    float_dtype
        Element type of captured floating-point constants; by default that of the first
        floating-point input.
    """
    if float_dtype is None:
        float_dtype = next((t.dtype for t in types.values() if t.dtype.is_float), F32)
    builder = Builder(name, track_source=True, float_dtype=float_dtype)
    given = {
        key: Tracer(builder, builder.input(key, type, (roles or {}).get(key, Role("input"))))
        for key, type in types.items()
    }
    result = function(**given)
    results = tuple(result) if isinstance(result, (tuple, list)) else (result,)
    chosen = outputs or [Role("output", (str(i),)) for i in range(len(results))]
    if any(r is None for r in results) or len(results) != len(chosen):
        shown = "None" if result is None else f"{len(results)} results"
        raise TraceError(
            f"@{builder.name} returned {shown} where {len(chosen)} arrays were expected\n"
            "return one array, or a tuple of arrays"
        )
    pairs = [(operand(builder, unwrap(r)), role) for r, role in zip(results, chosen, strict=True)]
    return builder.finish(pairs), builder.bindings


def replay(program: Program, builder: Builder, arguments: Sequence[Any]) -> list[Any]:
    """Append the nodes of a program to a builder, and return its outputs as tracers or numbers.

    Raises
    ------
    TypeRuleError
        If an argument has another type than the input it is given for.
    """
    env: dict[Operand, Operand] = {}
    for port, item in zip(program.inputs, arguments, strict=True):
        given = operand(builder, unwrap(item), port.type.dtype)
        if isinstance(given, Value) and given.type != port.type:
            raise TypeRuleError(f"@{program.name} takes %{port.name} as {port.type}, "
                                f"got {given.type}")  # fmt: skip
        env[port.value] = given
    copy_nodes(program.nodes, builder, env)
    return [wrap(builder, env.get(out.value, out.value)) for out in program.outputs]


def copy_nodes(nodes: Sequence[Any], builder: Builder, env: dict[Operand, Operand]) -> None:
    """Append nodes with their operands renamed by ``env``, which is extended in place."""
    with builder.at(None):
        for node in nodes:
            outputs = builder.copy(node, [env.get(x, x) for x in node.inputs])
            env.update(zip(node.outputs, outputs, strict=True))
