"""Programs as text: one node per line, types at the end, names made while printing.

The text is a contract: `etp_ir.parser` reads back an equal program, and printing that gives the
same text again. Nothing in it depends on addresses, hash seeds or global counters.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from textwrap import indent
from typing import Any

import numpy as np

from .core import Literal, Node, Operand, Output, Program, Role, Value
from .errors import IRError
from .types import BOOL, DType

WIDTH = 100
NAME = re.compile(r"\w[\w.]*")
_PREFIX = {"grad": "g", "trace": "e"}


def to_text(program: Program, *, align: bool = False, locations: bool = False) -> str:
    """Return the text of a program.

    Parameters
    ----------
    align
        Pad names and types to columns, for papers; by default one changed shape changes one line.
    locations
        Add the user's file and line to every node that has one.
    """
    return _program(program, align, locations, WIDTH)


def to_window(program: Program, node: Node, radius: int = 3) -> str:
    """Return the lines around a node, with an arrow on it; the numbers count nodes from 1."""
    names = value_names(program)
    try:
        at = next(i for i, other in enumerate(program.nodes) if other is node)
    except StopIteration:
        raise IRError(f"the node is not one of program @{program.name}") from None
    first, last = max(at - radius, 0), min(at + radius, len(program.nodes) - 1)
    digits = len(str(last + 1))
    lines = [f"in program @{name_text(program.name)}"]
    for i in range(first, last + 1):
        arrow = ">" if i == at else " "
        lines.append(f"{arrow} {i + 1:>{digits}} |   {_one_line(program.nodes[i], names)}")
    return "\n".join(lines)


# -- names ---------------------------------------------------------------------------------
def value_names(program: Program) -> dict[Value, str]:
    """Return a unique name for every value of a program (regions have names of their own).

    Inputs keep their names. Other values take their hint, or the name of the output they are;
    the rest count 0, 1, 2.
    """
    names: dict[Value, str] = {port.value: port.name for port in program.inputs}
    taken = set(names.values())
    derived = _output_hints(program)
    count = 0
    for node in program.nodes:
        for value in node.outputs:
            if value in names:  # assigned twice: broken, but printed for its error
                continue
            base = _clean(value.hint) or _clean(derived.get(value, ""))
            if base:
                name, k = base, 0
                while name in taken:
                    k += 1
                    name = f"{base}.{k}"
            else:
                while str(count) in taken:
                    count += 1
                name = str(count)
            names[value] = name
            taken.add(name)
    return names


def _clean(hint: str) -> str:
    """Return the hint as a legal name, or nothing: bare numbers belong to unnamed values."""
    name = re.sub(r"[^\w.]", "_", hint).lstrip(".")
    return "" if re.fullmatch("[0-9]*", name) else name


def _output_hints(program: Program) -> dict[Value, str]:
    hints: dict[Value, str] = {}
    for port in program.outputs:
        if isinstance(port.value, Value):
            hints.setdefault(port.value, _output_hint(program, port))
    return hints


def _output_hint(program: Program, port: Output) -> str:
    """Return ``h_next`` for what becomes input ``h`` of the next step, else say what it is."""
    kind, of = port.role.kind, port.role.of
    for before in program.inputs:
        if before.role.kind == kind and (before.role.of or (before.name,)) == of:
            return f"{before.name}_next"
    return "_".join([_PREFIX.get(kind, kind), *of])


def name_text(name: str) -> str:
    """Return a name as it is, or as a quoted string where it would not read as one word."""
    return name if NAME.fullmatch(name) else json.dumps(name)


def role_text(role: Role) -> str:
    """Return the text of a role, for example ``trace(w, h)``."""
    return f"{role.kind}({', '.join(map(name_text, role.of))})" if role.of else role.kind


# -- operands and attributes ---------------------------------------------------------------
def literal_dtype(dtypes: Iterable[DType]) -> DType | None:
    """Return the element type that a bare literal has beside operands of the given types.

    It is their only element type, conditions aside; None where they do not settle it.
    """
    distinct = list(dict.fromkeys(dtypes))
    numbers = [d for d in distinct if d is not BOOL] or distinct
    return numbers[0] if len(numbers) == 1 else None


def _scalar(item: Any) -> str:
    if isinstance(item, (bool, np.bool_)):
        return "true" if item else "false"
    if isinstance(item, Integral):
        return str(int(item))
    # repr of a Python float is the shortest text that reads back as the same number.
    return repr(float(item))


def _operands(inputs: Sequence[Operand], names: Mapping[Value, str]) -> str:
    usual = literal_dtype(x.type.dtype for x in inputs if isinstance(x, Value))
    return ", ".join(_operand(x, names, usual) for x in inputs)


def _operand(x: Operand, names: Mapping[Value, str], usual: DType | None) -> str:
    if isinstance(x, Literal):
        text = _scalar(x.value).removesuffix(".0")
        return text if x.dtype is usual else f"{text}:{x.dtype}"
    # A broken program still prints, so that its error can show it.
    return f"%{name_text(names[x])}" if x in names else f"%{_clean(x.hint) or 'unnamed'}?"


def _attribute(item: Any, program: Any) -> str:
    """Return the text of one attribute; ``program`` prints a region."""
    if isinstance(item, Program):
        return str(program(item))
    if isinstance(item, str):
        return json.dumps(item)
    if isinstance(item, (tuple, list)):
        return f"[{', '.join(_attribute(x, program) for x in item)}]"
    if isinstance(item, (Real, np.bool_)):
        return _scalar(item)
    # An element type prints as its name; anything else is for the verifier to refuse.
    return str(item)


def _ordered(node: Node) -> list[tuple[str, Any]]:
    """Return the attributes in the order the primitive declares them, regions last."""
    known = node.primitive.attributes
    place = {name: i for i, name in enumerate(known)}
    return sorted(
        node.attrs.items(),
        key=lambda kv: (isinstance(kv[1], Program), place.get(kv[0], len(known)), kv[0]),
    )


# -- nodes ---------------------------------------------------------------------------------
def _left(node: Node, names: Mapping[Value, str]) -> str:
    return ", ".join(_operand(v, names, None) for v in node.outputs)


def _types(node: Node) -> str:
    return ", ".join(str(v.type) for v in node.outputs)


def _applied(node: Node, names: Mapping[Value, str]) -> str:
    operands = _operands(node.inputs, names)
    return f"{node.primitive.name} {operands}" if operands else node.primitive.name


def _one_line(node: Node, names: Mapping[Value, str]) -> str:
    """Return a node with its regions named but not printed."""
    attrs = ", ".join(f"{k} = {_attribute(v, _elided)}" for k, v in _ordered(node))
    braces = f" {{{attrs}}}" if attrs else ""
    return f"{_left(node, names)} = {_applied(node, names)}{braces} : {_types(node)}"


def _elided(region: Program) -> str:
    return f"program @{name_text(region.name)}"


def _right(node: Node, names: Mapping[Value, str], align: bool, locations: bool, width: int) -> str:
    """Return the application and its attributes; a region opens a block."""
    attrs = _ordered(node)
    flat = ", ".join(f"{k} = {_attribute(v, None)}" for k, v in attrs if not isinstance(v, Program))
    blocks = [
        f"{k} = {_program(v, align, locations, width - 2)}"
        for k, v in attrs
        if isinstance(v, Program)
    ]
    text = _applied(node, names)
    if blocks:
        inner = ",\n".join([flat, *blocks] if flat else blocks)
        return f"{text} {{\n{indent(inner, '  ')}\n}}"
    return f"{text} {{{flat}}}" if flat else text


def _body(
    program: Program, names: Mapping[Value, str], align: bool, locations: bool, width: int
) -> list[str]:
    rows = [
        (_left(n, names), _right(n, names, align, locations, width), _types(n), n.source)
        for n in program.nodes
    ]
    left = max((len(row[0]) for row in rows), default=0) if align else 0
    right = max((len(row[1]) for row in rows if "\n" not in row[1]), default=0) if align else 0
    lines = []
    for name, applied, types, source in rows:
        line = f"{name:<{left}} = {applied:<{right}} : {types}"
        if locations and source is not None:
            line += f" loc {json.dumps(str(source))}"
        lines.append(line)
    return lines


# -- whole programs ------------------------------------------------------------------------
def _program(program: Program, align: bool, locations: bool, width: int) -> str:
    names = value_names(program)
    keys = [f"%{name_text(port.name)}:" for port in program.inputs]
    types = [str(port.type) for port in program.inputs]
    left = max(map(len, keys), default=0) if align else 0
    right = max(map(len, types), default=0) if align else 0
    inputs = ",\n".join(
        f"    {key:<{left}} {type:<{right}} {role_text(port.role)}"
        for key, type, port in zip(keys, types, program.inputs, strict=True)
    )
    opening = f"program @{name_text(program.name)}(" + (f"\n{inputs}\n" if inputs else "")
    outputs = [f"{port.type} {role_text(port.role)}" for port in program.outputs]
    results = f") -> ({', '.join(outputs)}) {{"
    if len(results) > width:
        results = ") -> (\n" + ",\n".join(f"    {text}" for text in outputs) + "\n) {"
    body = _body(program, names, align, locations, width - 2)
    body.append(_return(program, names, width - 2))
    return f"{opening}{results}\n{indent(chr(10).join(body), '  ')}\n}}"


def _return(program: Program, names: Mapping[Value, str], width: int) -> str:
    items = [_operand(port.value, names, port.type.dtype) for port in program.outputs]
    lines = ["return"]
    for i, item in enumerate(items):
        piece = item + ("," if i + 1 < len(items) else "")
        if len(lines[-1]) + 1 + len(piece) > width:
            lines.append("   ")
        lines[-1] += f" {piece}"
    return "\n".join(lines)
