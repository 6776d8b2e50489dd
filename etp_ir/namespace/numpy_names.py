"""NumPy functions called on traced arrays, translated to the namespace."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from ..errors import NotSupportedError, TraceError, nearest
from .dispatch import OLDER_NAMES, failure

_SAME = {
    **{older: name for name, older in OLDER_NAMES.items()},
    "absolute": "abs", "fabs": "abs", "amax": "max", "amin": "min", "dot": "matmul",
    "float_power": "pow", "logical_invert": "logical_not", "rint": "round", "around": "round",
    "mod": "remainder", "array": "asarray", "logistic": "sigmoid",
}  # fmt: skip
_REDUCTIONS = {
    "add": "sum", "multiply": "prod", "maximum": "max", "minimum": "min",
    "logical_and": "all", "logical_or": "any",
}  # fmt: skip
# Keywords of NumPy about memory, which a traced array does not have.
_IDLE = ("casting", "order", "subok")


def from_numpy(name: str, method: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Return the traced result of a NumPy function or of a method of a ufunc.

    Raises
    ------
    TraceError
        If the result would be written into an existing NumPy array.
    NotSupportedError
        If the namespace has no such function.
    """
    space = sys.modules[__package__]
    kwargs = {k: v for k, v in kwargs.items() if v is not None}
    if "out" in kwargs:
        raise failure(
            TraceError, f"np.{name} would write a traced value into a NumPy array",
            how="write y = x + ... instead of x += ..., and keep what lasts in an etp.State",
        )  # fmt: skip
    if name in _ATTRIBUTES and method == "__call__":
        return _ATTRIBUTES[name](*args)
    if method == "reduce" and name in _REDUCTIONS:
        kwargs.setdefault("axis", 0)
        name, method = _REDUCTIONS[name], "__call__"
    if method == "outer" and name == "multiply":
        name, method = "outer", "__call__"
    if method != "__call__":
        raise failure(NotSupportedError, f"np.{name}.{method} has no traced form")
    target = _SAME.get(name, name)
    function = getattr(space, target, None) if target in space.__all__ else None
    if function is None:
        raise failure(
            NotSupportedError, f"np.{name} has no traced form{nearest(name, space.__all__)}",
            how="write it with functions of etp.xp",
        )  # fmt: skip
    kwargs = {k: v for k, v in kwargs.items() if k not in _IDLE}
    return _call(name, function, args, kwargs)


def _call(name: str, function: Callable[..., Any], args: Sequence[Any], kwargs: Any) -> Any:
    """Call with NumPy's positional axis, which the standard takes by keyword only."""
    try:
        return function(*args, **kwargs)
    except TypeError:
        with suppress(TypeError):
            if len(args) > 1 and "axis" not in kwargs:
                return function(*args[:-1], axis=args[-1], **kwargs)
        raise failure(
            NotSupportedError, f"np.{name} was called with arguments that have no traced form",
            how=f"write it with xp.{function.__name__}",
        ) from None  # fmt: skip


_ATTRIBUTES: dict[str, Callable[..., Any]] = {
    "shape": lambda x: x.shape, "ndim": lambda x: x.ndim, "size": lambda x: x.size,
    "iscomplexobj": lambda x: False,
}  # fmt: skip
