"""What a primitive is: one declaration that holds every rule, and the registry of them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NoReturn

from attrs import field, frozen

from .bilinear import Rule, Trained
from .errors import IRError, NotSupportedError, compose, nearest
from .types import TensorType


@frozen
class NoDerivative:
    """In place of the rule ``jvp``: refuses to differentiate ``what``, a format of attributes."""

    what: str
    how: str

    def __call__(self, primals: Any, tangents: Any, outs: Any, **attrs: Any) -> NoReturn:
        """Refuse, with the line of the user that computes it.

        Raises
        ------
        NotSupportedError
            Always.
        """
        moved = next(t for t in tangents if t is not None)
        source = moved.builder.source
        what = f"the derivative of {self.what.format(**attrs)} is not known"
        where = "" if source is None else f"traced at {source}"
        raise NotSupportedError(compose(what, where=where, how=self.how))


@frozen(eq=False, slots=True)
class Primitive:
    """An operation of the IR, declared once with all its rules.

    Attributes
    ----------
    name
        Name in the text of a program.
    infer
        ``infer(*operands, **attrs)`` returns the type of the output, or a tuple of types;
        raises `TypeRuleError` when the operands do not fit.
    reference
        ``reference(*arrays, **attrs)``: the semantics, in plain NumPy.
    jvp
        ``jvp(primals, tangents, outs, **attrs)`` returns one tangent per output. A tangent of
        None is zero. None in place of the rule means the derivative is zero everywhere, and
        `NoDerivative` that there is one, but not here.
    transpose
        ``transpose(cotangents, operands, **attrs)`` returns one cotangent per operand; operands
        in which the node is linear are given as `Hole`. None for a non-linear primitive.
    batch
        ``batch(operands, axes, size, **attrs)`` returns the outputs and the position of the
        batch axis in each. ``axes[i]`` is None for an operand without one.
    positions
        How elements of operands reach elements of the output: ``"elementwise"`` (the same
        position), ``"structural"`` (a rearrangement, found by running ``reference`` on indices),
        ``"reduction"`` (over ``axes``), ``"contraction"`` (by the letters of ``spec``),
        ``"indexed"`` and ``"scattered"`` (rearrangements by an index array, where it is a
        constant), ``"mixing"`` (every element may reach every element), or ``"examples"`` (those
        of other examples too).
    array_api
        Name of the array-API function with the same meaning, if there is one.
    c99
        C expression over operands ``{0}``, ``{1}`` with ``{f}`` for the float suffix.
    linearize
        Like ``jvp``, for a primitive with regions: emits the linear part apart from what it
        needs of the primal computation, which it may extend. Used where the linear part is
        going to be transposed; None means that ``jvp`` serves.
    prune
        ``prune(node, live)``: the node without the results that are not among the live values.
    lower
        ``lower(*operands, **attrs)``: the same computation in other primitives. Backends never
        see a primitive that has it.
    across
        ``across(x, axis, size, **attrs)``, for a primitive in which the examples of a batch meet:
        the result that all examples share, given the operand with the axis of examples.
    trained
        For an eligibility-trace primitive: what can be trained, by name.
    leading
        For an eligibility-trace primitive: the operand that may have further axes in front, which
        the result has too. So many products with one weight are one.
    """

    name: str
    infer: Rule
    reference: Rule
    jvp: Rule | None = None
    transpose: Rule | None = None
    batch: Rule | None = None
    linearize: Rule | None = None
    prune: Rule | None = None
    positions: str = "mixing"
    array_api: str | None = None
    c99: str | None = None
    lower: Rule | None = None
    across: Rule | None = None
    trained: Mapping[str, Trained] = field(factory=dict)
    leading: int | None = None

    @property
    def is_etp(self) -> bool:
        """Whether nodes of this primitive carry trained weights."""
        return bool(self.trained)

    @property
    def differentiable(self) -> bool:
        """Whether the derivative is known; it may be zero everywhere."""
        return not isinstance(self.jvp, NoDerivative)

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of the attributes, in the order in which ``infer`` declares them."""
        return _keywords(self.infer)

    def __repr__(self) -> str:
        return f"<Primitive {self.name}>"


@cache
def _keywords(rule: Rule) -> tuple[str, ...]:
    parameters = inspect.signature(rule).parameters.values()
    return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)


@frozen(slots=True)
class Hole:
    """Stands for the linear operand of a node that is being transposed."""

    type: TensorType

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the missing operand."""
        return self.type.shape


REGISTRY: dict[str, Primitive] = {}


def register(primitive: Primitive) -> Primitive:
    """Add a primitive to the registry, and return it.

    Raises
    ------
    IRError
        If the name is taken.
    """
    if primitive.name in REGISTRY:
        raise IRError(f"primitive {primitive.name!r} is registered already; choose another name")
    REGISTRY[primitive.name] = primitive
    return primitive


def get(name: str) -> Primitive:
    """Return the primitive called ``name``."""
    try:
        return REGISTRY[name]
    except KeyError:
        raise IRError(f"no primitive {name!r}{nearest(name, list(REGISTRY))}") from None


def as_tuple(types: TensorType | Sequence[TensorType]) -> tuple[TensorType, ...]:
    """Return the result of an ``infer`` rule as a tuple."""
    return (types,) if isinstance(types, TensorType) else tuple(types)
