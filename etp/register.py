"""Eligibility-trace primitives of one's own, declared outside of the package."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import update_wrapper
from typing import Any

import numpy as np
from attrs import frozen

from etp_ir.bilinear import Bilinear, Trained
from etp_ir.core import Operand, Program
from etp_ir.errors import ModelError, TypeRuleError, compose, nearest
from etp_ir.jacobian import jacobian
from etp_ir.marked import marked
from etp_ir.meaning import meaning
from etp_ir.namespace.dispatch import alike, array, builder_of, extension
from etp_ir.primitive import REGISTRY
from etp_ir.primitives.contract import LETTERS, free_letters
from etp_ir.printer import NAME
from etp_ir.tracer import Tracer, bind

from .compiler.positions import NONE
from .compiler.through import region_targets
from .given import mistake
from .mode import declared

__all__ = ["register_primitive"]


def register_primitive(
    name: str, function: Callable[..., Any], weights: Mapping[str, str | None], *,
    replace: bool = False,
) -> Callable[..., Any]:  # fmt: skip
    """Declare an operation whose weights take part in eligibility traces.

    All rules follow from the function: derivatives, batching, traces under every learning rule,
    scope, schedule and backend.

    Parameters
    ----------
    name
        Name in dumps and reports, such as ``"lab.bilinear"``.
    function
        The operation for one example, written on `etp.xp`: arrays come in by position, and
        attributes, which are no arrays, by keyword only. It returns one array.
    weights
        Names of the arguments that can be trained, with the axes that they share with the result
        as letters: ``"ijo->o"`` says that an element of a weight of three axes acts only on the
        element of the result at its own last index. A trace then has one number for each weight
        and for each further element of the result that it acts on. None stands for a weight of
        which each element may act on all of the result; it is always right, and costs a trace of
        weight times result.
    replace
        Take the place of an operation of the same name, as when a notebook cell runs again.

    Returns
    -------
    callable
        The operation, for models and for plain arrays.

    Raises
    ------
    ModelError
        If the name is taken, a weight is no argument of the function, or letters are not of the
        form above. Letters that promise more than the function keeps are found when a model is
        compiled.

    Examples
    --------
    >>> import numpy as np
    >>> from etp import xp
    >>> def scaled(x, w, g):
    ...     return g * xp.matmul(x, w)
    >>> scaled = register_primitive("doc.scaled", scaled, {"w": "io->o", "g": "o->o"})
    >>> scaled(np.ones(2), np.ones((2, 3)), np.arange(3.0))
    array([0., 2., 4.])
    """
    operands, attributes = _arguments(function)
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise mistake(ModelError, f"{name!r} is no name of an operation",
                      "use letters, digits and dots, as in 'lab.bilinear'")  # fmt: skip
    if name in REGISTRY and not replace:
        raise mistake(ModelError, f"there is an operation {name!r} already",
                      "choose another name, or say replace=True")  # fmt: skip
    if name in REGISTRY and not hasattr(REGISTRY[name].lower, "__wrapped__"):
        raise mistake(ModelError, f"{name!r} belongs to etp", "choose another name")
    if not weights or not isinstance(weights, Mapping):
        raise mistake(ModelError, f"{name!r} has no weights",
                      'name those that can be trained, as in {"w": "io->o"}')  # fmt: skip
    letters = {}
    for weight, spec in weights.items():
        if weight not in operands:
            what = f"{weight!r} is no argument of the function{nearest(weight, operands)}"
            raise mistake(ModelError, what, f"name some of {', '.join(operands)}")
        letters[weight] = _letters(weight, spec)
    REGISTRY.pop(name, None)

    def meant(*arrays: Any, **attrs: Any) -> Any:
        with declared():
            result = function(*arrays, **attrs)
        if isinstance(result, Tracer) and not result.dtype.is_float:
            raise TypeRuleError(f"`{name}` returns {result.type}, through which no weight trains")
        return result

    update_wrapper(meant, function)
    declared_weights = {
        weight: _Weight(name, meant, operands.index(weight), pair)
        for weight, pair in letters.items()
    }
    primitive = marked(
        name, meant, {n: Trained(w.operand, w.form, w.input) for n, w in declared_weights.items()}
    )

    def apply(*arrays: Any, **attrs: Any) -> Any:
        builder = builder_of(*arrays)
        lifted = [array(builder, x) for x in arrays]
        floats = [x for x in lifted if x.dtype.is_float]
        typed = iter(alike(*floats, floating=True)) if floats else iter(())
        return bind(primitive, *(next(typed) if x.dtype.is_float else x for x in lifted), **attrs)

    traced = extension(function)(apply)
    signature = inspect.signature(function)

    def operation(*args: Any, **kwargs: Any) -> Any:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise mistake(ModelError, f"{name}: {error}",
                          f"it takes {', '.join(operands)}") from None  # fmt: skip
        bound.apply_defaults()
        given = [bound.arguments[n] for n in operands]
        for n in attributes:
            if getattr(bound.arguments[n], "shape", ()) != ():
                raise mistake(ModelError, f"{name}: {n} is an array, and an attribute is none",
                              "let the function take it by position")  # fmt: skip
        return traced(*given, **{n: bound.arguments[n] for n in attributes})

    return update_wrapper(operation, function)


def _arguments(function: Callable[..., Any]) -> tuple[list[str], list[str]]:
    """Return the names of the arrays and of the attributes that a function takes."""
    if not callable(function):
        raise mistake(ModelError, f"{function!r} is no function", "give the operation itself")
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        raise mistake(ModelError, f"{function!r} does not tell its arguments",
                      "wrap it in a function of your own") from None  # fmt: skip
    plain = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    named = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    if len(plain) + len(named) != len(parameters):
        raise mistake(
            ModelError, "a primitive's function takes a fixed list of arrays",
            "write it without *args, ** and positional-only arguments",
        )  # fmt: skip
    return plain, named


def _letters(weight: str, spec: str | None) -> tuple[str, str] | None:
    """Return the letters of a weight and of the result."""
    if spec is None:
        return None
    own, arrow, result = str(spec).replace(" ", "").partition("->")
    fits = all(c in LETTERS for c in own + result) and arrow
    if not fits or any(len(set(term)) != len(term) for term in (own, result)):
        raise mistake(
            ModelError, f"the axes of {weight!r} are given as {spec!r}",
            'write a letter for each axis of the weight and of the result, as in "io->o"',
        )  # fmt: skip
    return own, result


@frozen
class _Weight:
    """What was declared of one weight of an operation.

    Attributes
    ----------
    name, function
        The operation.
    operand
        Position of the weight among its arguments.
    pair
        Letters of the weight and of the result, if they were given.
    """

    name: str
    function: Callable[..., Any]
    operand: int
    pair: tuple[str, str] | None

    def form(self, *operands: Operand, **attrs: Any) -> Bilinear:
        """Return the letters, which are held against what the operation does."""
        program = self._program(operands, attrs)
        own, result = self._letters(program)
        if self.pair is not None:
            _check(self.name, program, self.operand, own, result)
        return Bilinear("".join(c for c in result if c not in own) + own, own, result)

    def input(self, *arrays: Any, **attrs: Any) -> Tracer:
        """Return the derivative of the result by the weight."""
        program = self._program(arrays, attrs)
        own, result = self._letters(program)
        return jacobian(arrays[self.operand].builder, program, self.operand, own, result, arrays)

    def _program(self, items: Any, attrs: Mapping[str, Any]) -> Program:
        return meaning(self.name, self.function, [x.type for x in items], attrs)

    def _letters(self, program: Program) -> tuple[str, str]:
        """Return letters for each axis of the weight and the result, as many as they have."""
        ranks = (program.inputs[self.operand].type.rank, program.outputs[0].type.rank)
        if self.pair is None:
            letters = free_letters("", sum(ranks))
            return letters[: ranks[0]], letters[ranks[0] :]
        own, result = self.pair
        if (len(own), len(result)) != ranks:
            raise ModelError(compose(
                f"{self.name} has a weight of {ranks[0]} axes and a result of {ranks[1]}, and "
                f"was declared with {own!r} -> {result!r}", how="give one letter for each axis",
            ))  # fmt: skip
        return self.pair


def _check(name: str, program: Program, operand: int, own: str, result: str) -> None:
    """Hold the declared letters against the paths from the weight to the result.

    Elements of the result are numbered by the letters that the weight shares: every path from an
    element of the weight must end at its own number.
    """
    weight, y = program.inputs[operand].type, program.outputs[0].type
    sizes = dict(zip(result, y.shape, strict=True))
    for letter, extent in zip(own, weight.shape, strict=True):
        if sizes.get(letter, extent) != extent:
            raise ModelError(compose(
                f"{name} was declared with the axis {letter!r} shared by a weight {weight} and a "
                f"result {y}", how="give letters of their own to axes that differ",
            ))  # fmt: skip
    shared = "".join(c for c in own if c in result)
    found = region_targets(program, [_numbered(result, y.shape, shared)])[operand]
    wrong = found is not None and (found != NONE) & (found != _numbered(own, weight.shape, shared))
    if np.any(wrong):
        raise ModelError(compose(
            f"{name} was declared with the axes {own!r} -> {result!r} of a weight, but "
            "elements of it may act on others of the result too",
            how="give letters of their own to axes that differ, or None in place of the letters",
        ))  # fmt: skip


def _numbered(letters: str, shape: tuple[int, ...], shared: str) -> Any:
    """Return for each element of an array its number by the shared letters."""
    sizes = dict(zip(letters, shape, strict=True))
    count = [sizes[c] for c in shared]
    numbers = np.arange(int(np.prod(count, dtype=int))).reshape(count)
    order = [shared.index(c) for c in letters if c in shared]
    missing = tuple(i for i, c in enumerate(letters) if c not in shared)
    return np.broadcast_to(np.expand_dims(numbers.transpose(order), missing), shape).copy()
