"""The ``standard`` profile: expressions in the functions of the array-API standard only.

Nothing is written in place. It is slower than planned buffers, and runs on every conforming
namespace: it is how the generated source is checked against the standard.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from etp_ir.core import Literal, Node, Operand, Program, Value
from etp_ir.errors import LoweringError
from etp_ir.primitives.contract import extents, parse_spec
from etp_ir.types import DType

from . import decompositions
from .contraction import classify, order_of, without_lone
from .one_hot import scatter_add, sparse_contract, sparse_sample
from .source import Source, layout
from .views import indexed
from .writer import Writer, tupled


class Expressions:
    """Turns nodes into expressions, given the names of their operands."""

    def __init__(self) -> None:
        self.writer = Writer()
        self.use = self.writer.use
        self.env: dict[Value, str] = {}
        self.objects: list[Any] = []

    def dtype(self, dtype: DType) -> str:
        """Return the name of an element type."""
        return self.use(dtype.array_name)

    def text(self, x: Operand) -> str:
        """Return an operand as an expression: a name or a number."""
        return self.writer.number(x) if isinstance(x, Literal) else self.env[x]

    def array(self, x: Operand) -> str:
        """Return an operand as an expression that is an array."""
        if isinstance(x, Literal):
            return f"{self.use('asarray')}({self.text(x)}, dtype={self.dtype(x.dtype)})"
        return self.env[x]

    def call(self, function: str, *args: object, **options: object) -> str:
        """Return ``function(*args, **options)``."""
        listed = [*map(str, args), *(f"{k}={v}" for k, v in options.items())]
        return f"{self.use(function)}({', '.join(listed)})"


def generate_standard(program: Program) -> Source:
    """Return source that computes a program in array-API functions."""
    make = Expressions()
    writer = make.writer
    function = writer.name(program.name)
    writer.open()
    params = [writer.name(port.name) for port in program.inputs]
    make.env.update(zip((p.value for p in program.inputs), params, strict=True))
    _nodes(make, program)
    results = [make.array(out.value) for out in program.outputs]
    writer.line(f"return {tupled(results)}")
    return layout(
        program, writer, function, params, objects=tuple(make.objects),
        profile="the array-API standard",
    )  # fmt: skip


def _nodes(make: Expressions, program: Program) -> None:
    for node in program.nodes:
        structured = STRUCTURED.get(node.primitive.name)
        if structured is not None:
            structured(make, node)
            continue
        value = node.output
        text = expression(make, node)
        name = make.writer.named(value)
        make.writer.line(f"{name} = {text}", note=value.type)
        make.env[value] = name


def expression(make: Expressions, node: Node) -> str:
    """Return the expression of a node.

    Raises
    ------
    LoweringError
        If the primitive has none.
    """
    if not node.inputs:
        return make.writer.constant(node, make.objects)
    rule = RULES.get(node.primitive.name)
    if rule is not None:
        return rule(make, node)
    if node.primitive.positions == "elementwise" and node.primitive.array_api:
        return _elementwise(make, node)
    raise LoweringError(f"`{node.primitive.name}` has no array expression; give it a lowering")


def _elementwise(make: Expressions, node: Node) -> str:
    texts = [make.text(x) for x in node.inputs]
    if all(isinstance(x, Literal) for x in node.inputs):
        texts[0] = make.array(node.inputs[0])
    return make.call(str(node.primitive.array_api), *texts)


def _select(make: Expressions, node: Node) -> str:
    condition, x, y = node.inputs
    first = make.array(x) if isinstance(y, Literal) else make.text(x)
    return make.call("where", make.array(condition), first, make.text(y))


def _cast(make: Expressions, node: Node) -> str:
    return make.call("astype", make.array(node.inputs[0]), make.dtype(node.output.type.dtype))


def _spike(make: Expressions, node: Node) -> str:
    x = make.array(node.inputs[0])
    return make.call("astype", make.call("greater", x, "0.0"), make.dtype(node.output.type.dtype))


def _logistic(make: Expressions, node: Node) -> str:
    decay = make.call("exp", make.call("negative", make.array(node.inputs[0])))
    return make.call("reciprocal", make.call("add", decay, "1.0"))


def _spread(make: Expressions, x: str, shape: tuple[int, ...], axes: tuple[int, ...]) -> str:
    thin = tuple(n if i in axes else 1 for i, n in enumerate(shape))
    return make.call("broadcast_to", make.call("reshape", x, thin), shape)


def _broadcast(make: Expressions, node: Node) -> str:
    x = node.inputs[0]
    if isinstance(x, Literal):
        return make.call("full", node.attrs["shape"], make.text(x), dtype=make.dtype(x.dtype))
    return _spread(make, make.array(x), node.attrs["shape"], node.attrs["axes"])


def _slice(make: Expressions, node: Node) -> str:
    rows = zip(node.attrs["start"], node.attrs["stop"], node.attrs["step"], strict=True)
    terms = [f"{a}:{b}:{s}" for a, b, s in rows]
    return indexed(terms).format(x=make.array(node.inputs[0]))


def _pad(make: Expressions, node: Node) -> str:
    """Return zeros joined to both sides, and between the elements, of one axis at a time."""
    text, shape = make.array(node.inputs[0]), list(node.inputs[0].type.shape)
    dtype = make.dtype(node.output.type.dtype)

    def zeros(axis: int, count: int) -> str:
        return make.call("zeros", (*shape[:axis], count, *shape[axis + 1 :]), dtype=dtype)

    for axis, inner in enumerate(node.attrs["interior"]):
        low, high = node.attrs["low"][axis], node.attrs["high"][axis]
        if inner and shape[axis]:
            split = (*shape[: axis + 1], 1, *shape[axis + 1 :])
            gap = (*shape[: axis + 1], inner, *shape[axis + 1 :])
            pair = (make.call("reshape", text, split), make.call("zeros", gap, dtype=dtype))
            joined = make.call("concat", f"({', '.join(pair)})", axis=axis + 1)
            shape[axis] *= inner + 1
            keep = [":"] * axis + [f":{shape[axis] - inner}"]
            text = f"{make.call('reshape', joined, tuple(shape))}[{', '.join([*keep, '...'])}]"
            shape[axis] -= inner
        parts = [*([zeros(axis, low)] if low else []), text, *([zeros(axis, high)] if high else [])]
        if len(parts) > 1:
            text = make.call("concat", f"({', '.join(parts)})", axis=axis)
        shape[axis] += low + high
    return text


def _reduce(function: str) -> Callable[[Expressions, Node], str]:
    def rule(make: Expressions, node: Node) -> str:
        options: dict[str, object] = {"axis": tuple(node.attrs["axes"])}
        if function == "sum":
            options["dtype"] = make.dtype(node.output.type.dtype)
        return make.call(function, make.array(node.inputs[0]), **options)

    return rule


def _argmax(make: Expressions, node: Node) -> str:
    found = make.call("argmax", make.array(node.inputs[0]), axis=node.attrs["axis"])
    return make.call("astype", found, make.dtype(node.output.type.dtype))


def _cumsum(make: Expressions, node: Node) -> str:
    axis, dtype = node.attrs["axis"], make.dtype(node.output.type.dtype)
    x = make.array(node.inputs[0])
    if not node.attrs["reverse"]:
        return make.call("cumulative_sum", x, axis=axis, dtype=dtype)
    total = make.call("cumulative_sum", make.call("flip", x, axis=axis), axis=axis, dtype=dtype)
    return make.call("flip", total, axis=axis)


def _gather(make: Expressions, node: Node) -> str:
    x, indices = node.inputs
    flat = make.call("reshape", make.array(indices), (indices.type.size,))
    taken = make.call("take", make.array(x), flat, axis=node.attrs["axis"])
    return make.call("reshape", taken, node.output.type.shape)


def _size(shape: tuple[int, ...]) -> int:
    count = 1
    for extent in shape:
        count *= extent
    return count


def _contract(make: Expressions, node: Node) -> str:
    """Return a contraction as a matrix product, or a broadcast product where nothing is summed."""
    spec = parse_spec(node.attrs["spec"])
    sizes = extents(spec, node.inputs[0].type, node.inputs[1].type)
    c = classify(spec)
    left = without_lone(spec)
    dtype = make.dtype(node.output.type.dtype)
    terms = []
    for x, term, lone in zip(node.inputs, (spec.x, spec.y), (c.lone_x, c.lone_y), strict=True):
        text = make.array(x)
        if lone:
            text = make.call("sum", text, axis=order_of(term, lone), dtype=dtype)
        terms.append(text)

    def arranged(text: str, term: str, wanted: str, shape: tuple[int, ...]) -> str:
        order = order_of(term, wanted)
        if list(order) != sorted(order):
            text = make.call("permute_dims", text, order)
        same = shape == tuple(sizes[letter] for letter in wanted)
        return text if same else make.call("reshape", text, shape)

    def count(letters: str) -> int:
        return _size(tuple(sizes[letter] for letter in letters))

    if not c.summed:
        thin = [
            arranged(text, term, "".join(k for k in spec.out if k in term),
                     tuple(sizes[k] if k in term else 1 for k in spec.out))
            for text, term in zip(terms, (left.x, left.y), strict=True)
        ]  # fmt: skip
        return make.call("multiply", *thin)
    stack = tuple(sizes[letter] for letter in c.batch)
    left_matrix = arranged(terms[0], left.x, c.batch + c.rows + c.summed,
                 (*stack, count(c.rows), count(c.summed)))  # fmt: skip
    right_matrix = arranged(terms[1], left.y, c.batch + c.summed + c.cols,
                 (*stack, count(c.summed), count(c.cols)))  # fmt: skip
    letters = c.batch + c.rows + c.cols
    product = make.call("matmul", left_matrix, right_matrix)
    shape = tuple(sizes[letter] for letter in letters)
    if shape != (*stack, count(c.rows), count(c.cols)):
        product = make.call("reshape", product, shape)
    order = order_of(letters, spec.out)
    return product if list(order) == sorted(order) else make.call("permute_dims", product, order)


RULES: dict[str, Callable[[Expressions, Node], str]] = {
    "select": _select, "cast": _cast, "spike": _spike, "logistic": _logistic,
    "erf": lambda make, node: f"special.erf(xp, {make.array(node.inputs[0])})",
    "contract": _contract, "broadcast": _broadcast,
    "reshape": lambda make, node: make.call(
        "reshape", make.array(node.inputs[0]), node.attrs["shape"]),
    "permute": lambda make, node: make.call(
        "permute_dims", make.array(node.inputs[0]), node.attrs["order"]),
    "reverse": lambda make, node: make.call(
        "flip", make.array(node.inputs[0]), axis=node.attrs["axes"]),
    "concat": lambda make, node: make.call(
        "concat", f"({', '.join(map(make.array, node.inputs))},)", axis=node.attrs["axis"]),
    "slice": _slice, "pad": _pad,
    "reduce_sum": _reduce("sum"), "reduce_max": _reduce("max"), "argmax": _argmax,
    "cumsum": _cumsum, "gather": _gather, "scatter_add": scatter_add,
    "sparse_contract": sparse_contract, "sparse_sample": sparse_sample,
}  # fmt: skip


def _scan(make: Expressions, node: Node) -> None:
    """Append a loop over a nested function that returns new carries and one row per result."""
    body: Program = node.attrs["body"]
    consts, carries, length = node.attrs["consts"], node.attrs["carries"], node.attrs["length"]
    writer = make.writer
    values = [port.value for port in body.inputs]
    index, step = writer.name("t"), writer.name(f"{body.name}_step")
    for value, operand in zip(values[:consts], node.inputs[:consts], strict=True):
        make.env[value] = make.array(operand)
    carried = [writer.named(v) for v in values[consts : consts + carries]]
    make.env.update(zip(values[consts : consts + carries], carried, strict=True))
    sliced = [make.array(x) for x in node.inputs[consts + carries :]]
    writer.open()
    for value, stacked in zip(values[consts + carries :], sliced, strict=True):
        make.env[value] = writer.named(value)
        writer.line(f"{make.env[value]} = {stacked}[{index}, ...]", note=value.type)
    _nodes(make, body)
    results = [make.array(out.value) for out in body.outputs]
    writer.line(f"return {tupled(results)}")
    lines = writer.close()
    writer.function(step, [index, *carried], lines, note=f"scan of {length} steps")
    stacks = [writer.name(v.hint or "rows") for v in node.outputs[carries:]]
    for name, start in zip(carried, node.inputs[consts : consts + carries], strict=True):
        writer.line(f"{name} = {make.array(start)}")
    for name in stacks:
        writer.line(f"{name} = []")
    rows = [f"{name}_t" for name in stacks]
    span = f"range({length - 1}, -1, -1)" if node.attrs["reverse"] else f"range({length})"
    writer.line(f"for {index} in {span}:")
    left = f"{tupled([*carried, *rows])} = " if node.outputs else ""
    writer.line(f"    {left}{step}({', '.join([index, *carried])})")
    for name, row in zip(stacks, rows, strict=True):
        writer.line(f"    {name}.append({row})")
    for name, value in zip(stacks, node.outputs[carries:], strict=True):
        order = "[::-1]" if node.attrs["reverse"] else ""
        stacked = make.call("stack", f"{name}{order}")
        if not length:
            stacked = make.call("zeros", value.type.shape, dtype=make.dtype(value.type.dtype))
        writer.line(f"{name} = {stacked}", note=value.type)
        make.env[value] = name
    make.env.update(zip(node.outputs[:carries], carried, strict=True))


def _cond(make: Expressions, node: Node) -> None:
    """Append two nested functions, one of which is called."""
    writer = make.writer
    names = []
    for key in ("then", "otherwise"):
        region: Program = node.attrs[key]
        make.env.update(
            zip((p.value for p in region.inputs), map(make.array, node.inputs[1:]), strict=True)
        )
        names.append(_function(make, region, []))
    results = [writer.named(v) for v in node.outputs]
    chosen = f"{names[0]}() if {make.array(node.inputs[0])} else {names[1]}()"
    writer.line(f"{tupled(results)} = {chosen}")
    make.env.update(zip(node.outputs, results, strict=True))


def _while(make: Expressions, node: Node) -> None:
    """Append the test and the body as nested functions of the carries, and a loop."""
    writer = make.writer
    consts: int = node.attrs["consts"]
    results = [writer.named(v) for v in node.outputs]
    names = []
    for key in ("test", "body"):
        region: Program = node.attrs[key]
        values = [p.value for p in region.inputs]
        make.env.update(zip(values[:consts], map(make.array, node.inputs[:consts]), strict=True))
        params = [writer.named(v) for v in values[consts:]]
        make.env.update(zip(values[consts:], params, strict=True))
        names.append(_function(make, region, params))
    for name, start in zip(results, node.inputs[consts:], strict=True):
        writer.line(f"{name} = {make.array(start)}")
    listed = ", ".join(results)
    writer.line(f"while {names[0]}({listed})[0]:")
    writer.line(f"    {tupled(results)} = {names[1]}({listed})")
    make.env.update(zip(node.outputs, results, strict=True))


def _function(make: Expressions, region: Program, params: list[str]) -> str:
    """Append a nested function that returns the results of a region; return its name."""
    writer = make.writer
    name = writer.name(region.name)
    writer.open()
    _nodes(make, region)
    writer.line(f"return {tupled([make.array(out.value) for out in region.outputs])}")
    writer.function(name, params, writer.close(), note=f"region @{region.name}")
    return name


STRUCTURED: dict[str, Callable[[Expressions, Node], None]] = {
    "scan": _scan, "cond": _cond, "while": _while,
    **dict.fromkeys(decompositions.NAMES, decompositions.express),
}  # fmt: skip
