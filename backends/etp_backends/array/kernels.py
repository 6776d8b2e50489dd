"""Statements of each core primitive, writing into a planned buffer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from attrs import frozen

from etp_ir.core import Literal, Node
from etp_ir.errors import LoweringError
from etp_ir.types import TensorType

from . import choice, contract, decompositions, repetition, scan, sparse
from .dialect import Dialect
from .literals import bits_of
from .refs import Ref, row_major

if TYPE_CHECKING:
    from .block import Block

Emit = Callable[["Block", Node, Ref], None]
# Nodes with regions or with several results, each written by a module of its own.
STRUCTURED: dict[str, Any] = {
    "scan": scan, "cond": choice, "while": repetition,
    **dict.fromkeys(decompositions.NAMES, decompositions),
}  # fmt: skip
Alias = Callable[[Node, Dialect], Sequence[int]]


@frozen
class Kernel:
    """How a primitive is written, and which operands its output may overwrite.

    An operand may be named by ``alias`` when every element of it is read no later than the
    same element of the output is written for the first time.
    """

    emit: Emit
    alias: Alias = lambda node, dialect: ()


def emit(block: Block, node: Node, outs: Sequence[Ref]) -> None:
    """Append the statements of a node.

    Raises
    ------
    LoweringError
        If the primitive has no kernel.
    """
    structured = STRUCTURED.get(node.primitive.name)
    if structured is not None:
        structured.emit(block, node, outs)
        return
    found = kernel_of(node)
    if found is None:
        raise LoweringError(f"`{node.primitive.name}` has no array kernel; give it a lowering")
    found.emit(block, node, outs[0])


def alias(node: Node, k: int, dialect: Dialect) -> Sequence[int]:
    """Return the operands in whose memory a node may write its output k."""
    structured = STRUCTURED.get(node.primitive.name)
    if structured is not None:
        found_alias: Sequence[int] = structured.alias(node, k)
        return found_alias
    found = kernel_of(node)
    return () if found is None else found.alias(node, dialect)


def kernel_of(node: Node) -> Kernel | None:
    """Return the kernel of a node: its own, or that of a plain ufunc."""
    found = KERNELS.get(node.primitive.name)
    if found is None and node.primitive.positions == "elementwise" and node.primitive.array_api:
        return UFUNC
    return found


# NumPy and CuPy both keep these functions under their older names.
_NAMES = {"pow": "power", "bitwise_left_shift": "left_shift", "bitwise_right_shift": "right_shift"}


def _all(node: Node, dialect: Dialect) -> Sequence[int]:
    return range(len(node.inputs))


def _ufunc(block: Block, node: Node, out: Ref) -> None:
    name = str(node.primitive.array_api)
    texts = [block.text(x) for x in node.inputs]
    if all(block.number(x) is not None for x in node.inputs):
        # Numbers alone would be computed in Python's own precision.
        texts[0] = block.ref(node.inputs[0]).name
    block.call(_NAMES.get(name, name), out, *texts)


def _cast(block: Block, node: Node, out: Ref) -> None:
    block.copy(out, node.inputs[0], cast=True)


def _copy(block: Block, node: Node, out: Ref) -> None:
    x = node.inputs[0]
    block.copy(reshaped(block, out, x.type.shape), x)


def reshaped(block: Block, x: Ref, shape: tuple[int, ...]) -> Ref:
    """Return a row-major array in another shape."""
    if shape == x.shape:
        return x
    type = x.type.with_shape(shape)
    return block.view(x, f"{{x}}.reshape({shape})", type, row_major(shape))


def _logistic(block: Block, node: Node, out: Ref) -> None:
    # Where exp overflows, 1 / infinity is the right 0.
    block.call("negative", out, block.text(node.inputs[0]))
    block.call("exp", out, out.name)
    block.call("add", out, out.name, "1.0")
    block.call("divide", out, "1.0", out.name)


def _spike(block: Block, node: Node, out: Ref) -> None:
    block.call("greater", out, block.ref(node.inputs[0]).name, "0.0")


def _erf(block: Block, node: Node, out: Ref) -> None:
    x = block.ref(node.inputs[0]).name
    block.line(f"{block.gen.writer.use('copyto')}({out.name}, special.erf(xp, {x}))", out.type)


# -- selection -----------------------------------------------------------------------------
def _bits(block: Block, x: Ref) -> Ref:
    """Return the array seen as unsigned integers of the same width."""
    width = "uint8" if x.type.dtype.kind == "bool" else f"uint{x.type.dtype.bits}"
    dtype = block.gen.writer.use(width)
    # The text of a type has no 8-, 16- or 64-bit unsigned integers; the width is what counts.
    return block.view(x, f"{{x}}.view({dtype})", x.type, x.strides, hint=f"{x.name}_bits")


def _select(block: Block, node: Node, out: Ref) -> None:
    condition, x, y = node.inputs
    fixed = block.number(condition)
    if fixed is not None:
        block.copy(out, x if fixed.value else y)
    elif block.gen.dialect.integer_select:
        _select_bits(block, node, out)
    else:
        where = block.gen.writer.use("where")
        texts = [block.ref(condition).name, block.text(x), block.text(y)]
        if block.number(x) is not None and block.number(y) is not None:
            texts[1] = block.ref(x).name
        text = f"{block.gen.writer.use('copyto')}({out.name}, {where}({', '.join(texts)}))"
        block.line(text, out.type)


def _select_bits(block: Block, node: Node, out: Ref) -> None:
    """Select as ``((x ^ y) * c) ^ y`` on bit patterns, which has no branch and keeps every NaN."""
    condition, x, y = node.inputs
    c, o = block.ref(condition).name, _bits(block, out)
    nx, ny = block.number(x), block.number(y)
    bx = bits_of(nx) if nx is not None else _bits(block, block.ref(x)).name
    by = bits_of(ny) if ny is not None else _bits(block, block.ref(y)).name
    dtype = block.gen.writer.use(
        "uint8" if out.type.dtype.kind == "bool" else f"uint{out.type.dtype.bits}"
    )
    if isinstance(bx, int) and isinstance(by, int):
        block.call("multiply", o, c, hex(bx ^ by), dtype=dtype)
    elif by == 0:
        block.call("multiply", o, str(bx), c)
        return
    else:
        block.call("bitwise_xor", o, _hex(bx), _hex(by))
        block.call("multiply", o, o.name, c)
    if by != 0:
        block.call("bitwise_xor", o, o.name, _hex(by))


def _hex(bits: int | str) -> str:
    return hex(bits) if isinstance(bits, int) else bits


def _select_alias(node: Node, dialect: Dialect) -> Sequence[int]:
    # On bit patterns the last operand is read again after the first write.
    return (1,) if dialect.integer_select else (1, 2)


# -- reductions ----------------------------------------------------------------------------
def _reduce(ufunc: str, function: str) -> Emit:
    def emit(block: Block, node: Node, out: Ref) -> None:
        axes = tuple(node.attrs["axes"])
        if not axes:
            block.copy(out, node.inputs[0])
            return
        name = f"{ufunc}.reduce" if block.gen.dialect.reduce else function
        axis = str(axes[0]) if len(axes) == 1 else str(axes)
        block.call(name, out, block.ref(node.inputs[0]).name, axis=axis)

    return emit


def _argmax(block: Block, node: Node, out: Ref) -> None:
    use = block.gen.writer.use
    found = f"{use('argmax')}({block.ref(node.inputs[0]).name}, axis={node.attrs['axis']})"
    block.line(f'{use("copyto")}({out.name}, {found}, casting="unsafe")', out.type)


def _cumsum(block: Block, node: Node, out: Ref) -> None:
    x, axis = block.ref(node.inputs[0]), node.attrs["axis"]
    use = block.gen.writer.use
    dtype = block.gen.dtype(out.type.dtype)
    flip = f"[{', '.join([':'] * axis + ['::-1'])}]" if node.attrs["reverse"] else ""
    total = f"{use('cumsum')}({x.name}{flip}, axis={axis}, dtype={dtype})"
    block.line(f"{use('copyto')}({out.name}, {total}{flip})", out.type)


# -- joining, padding, indexing ------------------------------------------------------------
def _concat(block: Block, node: Node, out: Ref) -> None:
    parts = [block.ref(x).name for x in node.inputs]
    axis = str(node.attrs["axis"])
    block.call("concatenate", out, f"({', '.join(parts)},)", axis=axis)


def _pad(block: Block, node: Node, out: Ref) -> None:
    x = node.inputs[0]
    terms = []
    strides = []
    rows = zip(x.type.shape, node.attrs["low"], node.attrs["interior"], out.strides, strict=True)
    for extent, low, inner, stride in rows:
        stop = low + extent + (extent - 1) * inner if extent else low
        terms.append(f"{low}:{stop}" + (f":{inner + 1}" if inner else ""))
        strides.append(stride * (inner + 1))
    copyto = block.gen.writer.use("copyto")
    block.line(f"{copyto}({out.name}, {block.gen.literal(_zero(out.type))})", out.type)
    if terms:
        place = block.view(out, f"{{x}}[{', '.join(terms)}]", x.type, tuple(strides))
        block.copy(place, x)
    else:
        block.copy(out, x)


def _zero(type: TensorType) -> Literal:
    kind = {"float": 0.0, "bool": False}.get(type.dtype.kind, 0)
    return Literal(kind, type.dtype)


def _gather(block: Block, node: Node, out: Ref) -> None:
    x, indices = (block.ref(i).name for i in node.inputs)
    block.call("take", out, x, indices, axis=str(node.attrs["axis"]))


def _scatter_add(block: Block, node: Node, out: Ref) -> None:
    x, indices = (block.ref(i).name for i in node.inputs)
    axis: int = node.attrs["axis"]
    place = indices if axis == 0 else f"({'slice(None), ' * axis}{indices})"
    use: Any = block.gen.writer.use
    block.line(f"{use('copyto')}({out.name}, {block.gen.literal(_zero(out.type))})", out.type)
    block.line(f"{use('add.at')}({out.name}, {place}, {x})", out.type)


UFUNC = Kernel(_ufunc, _all)
KERNELS: dict[str, Kernel] = {
    "select": Kernel(_select, _select_alias),
    "cast": Kernel(_cast),
    "reshape": Kernel(_copy),
    "logistic": Kernel(_logistic, _all),
    "spike": Kernel(_spike, _all),
    "erf": Kernel(_erf, _all),
    "contract": Kernel(contract.emit, contract.alias),
    "reduce_sum": Kernel(_reduce("add", "sum")),
    "reduce_max": Kernel(_reduce("maximum", "max")),
    "argmax": Kernel(_argmax),
    "cumsum": Kernel(_cumsum),
    "concat": Kernel(_concat),
    "pad": Kernel(_pad),
    "gather": Kernel(_gather),
    "scatter_add": Kernel(_scatter_add),
    "sparse_contract": Kernel(sparse.contract),
    "sparse_sample": Kernel(sparse.sample),
}
