"""Layers that differ in little: one class says what they have in common, each has its own name."""

from __future__ import annotations

import inspect
from types import FunctionType
from typing import Any

from ..model import Module


class Family(Module):
    """Base of bases such as `Conv`: a layer made from one is documented and named by itself.

    A subclass whose docstring is a summary gets the rest from its base: everything below the
    summary there. Its constructor is its own, so that Python's complaints about arguments name the
    class that the user wrote.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        base = cls.__bases__[0]
        if base is Family or not issubclass(base, Family):
            return
        if cls.__doc__ and base.__doc__ and "----" not in cls.__doc__:
            common = inspect.cleandoc(base.__doc__).partition("\n\n")[2]
            cls.__doc__ = f"{inspect.cleandoc(cls.__doc__)}\n\n{common}\n"
        if "__init__" not in vars(cls):
            setattr(cls, "__init__", _renamed(base.__init__, cls))  # noqa: B010


def _renamed(function: Any, owner: type) -> FunctionType:
    """Return the same function as a method of another class."""
    made = FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__,
        function.__closure__,
    )  # fmt: skip
    made.__kwdefaults__, made.__annotations__ = function.__kwdefaults__, function.__annotations__
    made.__doc__, made.__module__ = function.__doc__, function.__module__
    made.__qualname__ = f"{owner.__qualname__}.{function.__name__}"
    return made
