"""Functions of the standard that make arrays, and conversion of element types."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from ..tracer import is_number, unwrap
from ..types import DType, dtype_of, promote
from .dispatch import array, builder_of, cast, expand, extension, function, library_of, native


@function
def asarray(x: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None) -> Any:
    """Return the argument as an array; a list of traced arrays is stacked."""
    x = array(builder_of(x), x)
    return x if dtype is None else cast(x, dtype_of(dtype))


def _eager_astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    library = library_of([x])
    target = native(library, dtype, "dtype")
    if hasattr(library, "astype") and hasattr(x, "__array_namespace__"):
        return library.astype(x, target)
    return (x if hasattr(x, "astype") else np.asarray(x)).astype(target)


@extension(_eager_astype)
def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    """Return the array converted to another element type."""
    return cast(array(builder_of(x), x), dtype_of(dtype))


@function
def full(shape: Any, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Any:
    """Return an array of one number, which may be traced."""
    x = asarray(fill_value, dtype=dtype)
    return expand(x, _shape(shape))


def _shape(shape: Any) -> tuple[int, ...]:
    return tuple(int(n) for n in (shape if isinstance(shape, (tuple, list)) else (shape,)))


# -- arrays like another --------------------------------------------------------------------
@function
def full_like(x: Any, /, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Any:
    """Return an array of one number, in the shape and element type of another."""
    builder = builder_of(x, fill_value)
    like = array(builder, x)
    return full(like.shape, array(builder, fill_value), dtype=dtype or like.dtype)


@function
def zeros_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Any:
    """Return zeros in the shape and element type of another array."""
    return full_like(x, 0, dtype=dtype)


@function
def ones_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Any:
    """Return ones in the shape and element type of another array."""
    return full_like(x, 1, dtype=dtype)


empty_like = zeros_like


# -- arrays from nothing --------------------------------------------------------------------
def _made(name: str) -> Callable[..., Any]:
    """Return a function that makes a constant with NumPy: what it is given is never traced."""

    def make(*args: Any, dtype: Any = None, device: Any = None, **kwargs: Any) -> Any:
        chosen = {} if dtype is None else {"dtype": dtype_of(dtype).numpy()}
        return getattr(np, name)(*args, **chosen, **kwargs)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"Return `{name}` of the standard, a constant when used in a trace."
    return make


zeros, ones, empty, eye, arange, linspace = map(
    _made, ("zeros", "ones", "empty", "eye", "arange", "linspace")
)


# -- element types --------------------------------------------------------------------------
def isdtype(dtype: Any, kind: Any) -> builtins.bool:
    """Return whether an element type is of a kind of the standard, or equals another type."""
    found = dtype_of(dtype)
    if isinstance(kind, tuple):
        return any(isdtype(found, k) for k in kind)
    if not isinstance(kind, str):
        return found is dtype_of(kind)
    return found.kind in _KINDS.get(kind, ())


_KINDS = {
    "bool": ("bool",), "signed integer": ("int",), "unsigned integer": ("uint",),
    "integral": ("int", "uint"), "real floating": ("float",), "numeric": ("int", "uint", "float"),
}  # fmt: skip


def result_type(*items: Any) -> DType:
    """Return the element type that arrays, numbers and element types combine to."""
    types = [x if isinstance(x, DType) else dtype_of(getattr(x, "dtype", x))
             for x in map(unwrap, items) if not is_number(x)]  # fmt: skip
    return reduce(promote, types)


def finfo(dtype: Any) -> Any:
    """Return the limits of a floating-point type."""
    return np.finfo(dtype_of(getattr(dtype, "dtype", dtype)).numpy())


def iinfo(dtype: Any) -> Any:
    """Return the limits of an integer type."""
    return np.iinfo(dtype_of(getattr(dtype, "dtype", dtype)).numpy())
