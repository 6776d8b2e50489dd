"""Objects that stand for an array: attributes, operators and protocols of arrays by their value."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from etp_ir import namespace as xp
from etp_ir.tracer import Tracer, find_builder, unwrap
from etp_ir.types import TensorType, type_of


class ArrayLike:
    """Base of what acts as an array, which is its `value`."""

    __array_priority__ = 900

    @property
    def value(self) -> Any:
        """The array it stands for."""
        raise NotImplementedError

    def __etp_value__(self) -> Any:
        return self.value

    # -- attributes of an array -------------------------------------------------------------
    @property
    def type(self) -> TensorType:
        """Element type and shape."""
        return type_of(self.value)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return tuple(self.value.shape)

    @property
    def dtype(self) -> Any:
        """Element type of the current array."""
        return self.value.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def T(self) -> Any:
        """Transpose of a matrix."""
        return xp.matrix_transpose(self)

    mT = T

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.value)

    def __getitem__(self, key: Any) -> Any:
        return xp.getitem(self.value, key)

    # -- protocols --------------------------------------------------------------------------
    def __array_namespace__(self, api_version: str | None = None) -> Any:
        return xp

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        value = self.value
        return value.__array__() if isinstance(value, Tracer) else np.array(value, dtype=dtype)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        inputs = tuple(unwrap(x) for x in inputs)
        if find_builder(inputs) is not None:
            return xp.from_numpy(ufunc.__name__, method, inputs, kwargs)
        return getattr(ufunc, method)(*inputs, **kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        leaves: list[Any] = []
        args = _replace(args, leaves)
        if find_builder(leaves) is not None:
            return xp.from_numpy(func.__name__, "__call__", args, kwargs)
        return func(*args, **kwargs)

    def __float__(self) -> float:
        return float(self.value)

    def __int__(self) -> int:
        return int(self.value)

    def __bool__(self) -> bool:
        return bool(self.value)

    # -- methods ----------------------------------------------------------------------------
    def astype(self, dtype: Any) -> Any:
        """Return the array converted to another element type."""
        return xp.astype(self.value, dtype)

    def reshape(self, *shape: Any) -> Any:
        """Return the elements in another shape."""
        return self.value.reshape(*shape)

    def sum(self, axis: Any = None, keepdims: bool = False) -> Any:
        """Return the sum over axes."""
        return xp.sum(self.value, axis=axis, keepdims=keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> Any:
        """Return the mean over axes."""
        return xp.mean(self.value, axis=axis, keepdims=keepdims)

    def max(self, axis: Any = None, keepdims: bool = False) -> Any:
        """Return the maximum over axes."""
        return xp.max(self.value, axis=axis, keepdims=keepdims)


def _replace(item: Any, leaves: list[Any]) -> Any:
    """Return nested arguments with the values of variables, collecting the arrays."""
    if isinstance(item, (list, tuple)):
        return type(item)(_replace(x, leaves) for x in item)
    leaves.append(unwrap(item))
    return leaves[-1]


def _operator(function: Callable[..., Any], reflected: bool) -> Callable[..., Any]:
    def method(self: ArrayLike, other: Any) -> Any:
        a, b = unwrap(self), unwrap(other)
        return function(b, a) if reflected else function(a, b)

    return method


def _unary(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self: function(self.value)


for _name in (
    "add", "sub", "mul", "truediv", "pow", "matmul", "and_", "or_", "xor", "mod", "floordiv",
    "lshift", "rshift",
):  # fmt: skip
    _dunder = _name.rstrip("_")
    setattr(ArrayLike, f"__{_dunder}__", _operator(getattr(operator, _name), False))
    setattr(ArrayLike, f"__r{_dunder}__", _operator(getattr(operator, _name), True))
for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(ArrayLike, f"__{_name}__", _operator(getattr(operator, _name), False))
for _name in ("neg", "pos", "abs", "invert"):
    setattr(ArrayLike, f"__{_name}__", _unary(getattr(operator, _name)))
ArrayLike.__hash__ = object.__hash__  # type: ignore[method-assign]
