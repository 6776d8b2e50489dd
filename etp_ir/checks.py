"""The invariants of a program, one function each.

A check yields a `Fault` for every breach it sees; `etp_ir.verify` runs them and raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from numbers import Integral
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from attrs import frozen

from .core import ROLE_KINDS, Literal, Node, Operand, Program, Value
from .errors import TypeRuleError, nearest
from .primitive import REGISTRY, as_tuple
from .printer import value_names
from .types import BOOL, DType


@frozen
class Fault:
    """One breach of an invariant: what is wrong, at which node, and how to mend it."""

    what: str
    how: str
    node: Node | None = None


Check = Callable[[Program], Iterator[Fault]]


def check_input_names(program: Program) -> Iterator[Fault]:
    """Check that inputs have names, all different."""
    seen: set[str] = set()
    for port in program.inputs:
        if not port.name:
            yield Fault(f"an input of type {port.type} has no name", "name every input")
        elif port.name in seen:
            yield Fault(f"two inputs are called %{port.name}", "give one of them another name")
        seen.add(port.name)


def check_role_kinds(program: Program) -> Iterator[Fault]:
    """Check that roles are of a known kind."""
    labelled = [(f"input %{port.name}", port.role) for port in program.inputs]
    labelled += [("an output", port.role) for port in program.outputs]
    for label, role in labelled:
        if role.kind not in ROLE_KINDS:
            what = f"{label} has the unknown role `{role}`"
            yield Fault(what, f"use a known role{nearest(role.kind, ROLE_KINDS)}")


def check_primitives(program: Program) -> Iterator[Fault]:
    """Check that primitives are those of the registry."""
    for node in program.nodes:
        if REGISTRY.get(node.primitive.name) is not node.primitive:
            what = f"`{node.primitive.name}` is not a registered primitive"
            yield Fault(what, "declare it with `etp_ir.register`", node)


def check_single_assignment(program: Program) -> Iterator[Fault]:
    """Check that every value is defined once."""
    seen: set[Value] = set()
    for port in program.inputs:
        if port.value in seen:
            yield Fault(f"%{port.name} has the value of another input", "give it its own")
        seen.add(port.value)
    for node in program.nodes:
        for value in node.outputs:
            if value in seen:
                name = value_names(program)[value]
                how = "let every node define new values"
                yield Fault(f"%{name} is assigned a second time", how, node)
            seen.add(value)


def check_definitions(program: Program) -> Iterator[Fault]:
    """Check that every operand is an input, or a result of a node above."""
    seen: set[Value] = {port.value for port in program.inputs}

    def fault(x: Value, node: Node | None) -> Fault:
        names = value_names(program)
        if x in names:
            how = "order the nodes so that definitions come first"
            return Fault(f"%{names[x]} is used before it is defined", how, node)
        shown = f"%{x.hint}" if x.hint else "a value"
        how = "pass it in as an input; regions see nothing but their inputs"
        return Fault(f"{shown} of type {x.type} is defined nowhere in this program", how, node)

    for node in program.nodes:
        for x in node.inputs:
            if isinstance(x, Value) and x not in seen:
                yield fault(x, node)
        seen.update(node.outputs)
    for port in program.outputs:
        if isinstance(port.value, Value) and port.value not in seen:
            yield fault(port.value, None)


def check_literals(program: Program) -> Iterator[Fault]:
    """Check that literals hold a Python number of their element type, in its range."""
    for node in program.nodes:
        for x in node.inputs:
            if isinstance(x, Literal) and not _representable(x):
                what = f"literal {x.value!r} is not a number of type {x.dtype}"
                yield Fault(what, "make literals with `etp_ir.tracer.literal`", node)
    for port in program.outputs:
        if isinstance(port.value, Literal) and not _representable(port.value):
            what = f"literal {port.value.value!r} is not a number of type {port.value.dtype}"
            yield Fault(what, "make literals with `etp_ir.tracer.literal`")


def _representable(x: Literal) -> bool:
    if x.dtype.is_float:
        return type(x.value) is float
    if x.dtype is BOOL:
        return type(x.value) is bool
    if type(x.value) is not int:
        return False
    unsigned = x.dtype.kind == "uint"
    low = 0 if unsigned else -(1 << (x.dtype.bits - 1))
    return low <= x.value < low + (1 << x.dtype.bits)


# -- attributes ----------------------------------------------------------------------------
def check_attributes(program: Program) -> Iterator[Fault]:
    """Check that attributes are those the primitive declares, of the types it declares."""
    for node in program.nodes:
        name, declared = node.primitive.name, node.primitive.attributes
        for key in declared:
            if key not in node.attrs:
                yield Fault(f"`{name}` lacks its attribute {key}", f"give it {key}", node)
        hints = _hints(node.primitive.infer)
        for key, item in node.attrs.items():
            if key not in declared:
                how = f"it has {', '.join(declared)}" if declared else "it has none"
                yield Fault(f"`{name}` has no attribute {key}", how, node)
            elif not _printable(item):
                what = f"attribute {key} of `{name}` is {item!r}, which has no text"
                how = "use Python numbers, strings, tuples, element types and programs"
                yield Fault(what, how, node)
            elif not _fits(item, hints.get(key, Any)):
                what = f"attribute {key} of `{name}` is {item!r}"
                yield Fault(what, f"make it a value of type `{_spelt(hints[key])}`", node)


@cache
def _hints(rule: Any) -> dict[str, Any]:
    try:
        return get_type_hints(rule)
    except NameError:
        return {}


def _printable(item: Any) -> bool:
    if isinstance(item, (tuple, list)):
        return all(map(_printable, item))
    # NumPy floats are refused: their text reads back as Python's, which compare as different.
    return type(item) in (bool, int, float, str, DType) or isinstance(item, (Integral, Program))


def _fits(item: Any, hint: Any) -> bool:
    if hint is Any:
        return True
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return any(_fits(item, option) for option in get_args(hint))
    if origin is not None:
        element = next(iter(get_args(hint)), Any)
        return isinstance(item, (tuple, list)) and all(_fits(x, element) for x in item)
    if hint in (int, float):
        kinds = (Integral,) if hint is int else (Integral, float)
        return isinstance(item, kinds) and not isinstance(item, bool)
    return isinstance(item, hint)


def _spelt(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)


# -- types ---------------------------------------------------------------------------------
def check_broadcasting(program: Program) -> Iterator[Fault]:
    """Check that only literals broadcast: other element-wise operands have one shape."""
    for node in program.nodes:
        operands = [x for x in node.inputs if isinstance(x, Value)]
        if node.primitive.positions == "elementwise" and len({x.type.shape for x in operands}) > 1:
            listed = " and ".join(_shown(x) for x in node.inputs)
            how = "insert `broadcast`, or slice the larger operand"
            yield Fault(f"`{node.primitive.name}` needs equal shapes, got {listed}", how, node)


def check_types(program: Program) -> Iterator[Fault]:
    """Check that every annotated type is the one that the primitive infers."""
    for node in program.nodes:
        name = node.primitive.name
        try:
            inferred = as_tuple(node.primitive.infer(*node.inputs, **node.attrs))
        except TypeRuleError as error:
            yield Fault(str(error), "give it operands and attributes that fit each other", node)
            continue
        except Exception as error:
            listed = ", ".join(_shown(x) for x in node.inputs) or "no operands"
            what = f"`{name}` cannot take {listed}: {error}"
            yield Fault(what, "give it the operands and attributes it declares", node)
            continue
        annotated = tuple(v.type for v in node.outputs)
        if inferred != annotated:
            gives, says = (", ".join(map(str, types)) for types in (inferred, annotated))
            how = "annotate what it gives, or append the node with `Builder.emit`"
            yield Fault(f"`{name}` gives {gives} but is annotated {says}", how, node)


def _shown(x: Operand) -> str:
    return str(x.type) if isinstance(x, Value) else repr(x.value)


# -- what callers rely on, for a program that is not a region -----------------------------
def check_output_keys(program: Program) -> Iterator[Fault]:
    """Check that outputs have different keys, since callers fetch them by key."""
    seen: set[str] = set()
    for port in program.outputs:
        if port.key in seen:
            yield Fault(f"two outputs have the key {port.key}", "give one of them another role")
        seen.add(port.key)


# What is handed on to the next step must have come in as the same thing.
HANDED_ON = ("state", "param")


def check_references(program: Program) -> Iterator[Fault]:
    """Check that outputs belong to something: ``state(h)`` needs ``%h``, ``grad(w)`` needs ``w``.

    A gradient may also be that of a named value, such as a weight computed from parameters, or
    of a name which a trace or a signal among the inputs refers to. A weight that was simplified
    away is still named after its parameters.
    """
    known = dict.fromkeys([*program.input_names, *(n for p in program.inputs for n in p.role.of)])
    known.update(dict.fromkeys(v.hint for node in program.nodes for v in node.outputs if v.hint))
    parameters = tuple(f"{p.name}{end}" for p in program.inputs_of("param") for end in "._")
    for port in program.outputs:
        kind = port.role.kind
        if kind not in (*HANDED_ON, "grad"):
            continue
        if not port.role.of:
            yield Fault(f"output `{kind}` does not say of which input", f"write `{kind}(name)`")
            continue
        name = port.role.of[0]
        found = program.input_names.get(name)
        made = kind == "grad" and name.startswith(parameters)
        if (name not in known and not made) or (kind in HANDED_ON and found is None):
            how = f"name an input{nearest(name, list(program.input_names))}"
            yield Fault(f"output `{port.role}` refers to %{name}, which is no input", how)
        elif kind in HANDED_ON and found is not None and found.role.kind != kind:
            what = f"output `{port.role}` refers to %{name}, an input of role `{found.role}`"
            yield Fault(what, f"give %{name} the role {kind}")


STRUCTURE: tuple[Check, ...] = (
    check_input_names, check_role_kinds, check_primitives, check_single_assignment,
    check_definitions, check_literals, check_attributes, check_broadcasting, check_types,
)  # fmt: skip
INTERFACE: tuple[Check, ...] = (check_output_keys, check_references)
