"""Statements of sparse products; what they call is in `nonzeros`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etp_ir.core import Node, Operand

from .refs import Ref

if TYPE_CHECKING:
    from .block import Block


def contract(block: Block, node: Node, out: Ref) -> None:
    """Append a product with a compressed sparse matrix."""
    x, data, rows, cols = node.inputs
    order = node.attrs["order"]
    if order == "none":
        index, pointer = rows, block.ref(cols).name
    elif order == "cols":
        index, pointer = rows, _pointer(block, cols, out.shape[-1])
    else:
        index, pointer = cols, _pointer(block, rows, x.type.shape[-1])
    names = ", ".join(block.ref(v).name for v in (x, data, index))
    block.line(f"nonzeros.contract({names}, {pointer}, {out.name}, {order!r})", out.type)


def sample(block: Block, node: Node, out: Ref) -> None:
    """Append a product at the nonzeros."""
    names = ", ".join(block.ref(v).name for v in node.inputs)
    block.line(f"nonzeros.sample({names}, {out.name}, {node.attrs['kept']})", out.type)


def _pointer(block: Block, index: Operand, extent: int) -> str:
    """Return the name of where each position begins, found outside of loops that keep the index."""
    ref, outer = block.ref(index), block.origin(index)
    key = (ref.name, extent)
    if key not in block.gen.pointers:
        name = block.gen.writer.name(f"{ref.name}_begin")
        text = f"{name} = nonzeros.pointer({ref.name}, {extent})"
        block.gen.writer.line(text, level=outer.level)
        block.gen.pointers[key] = name
    return block.gen.pointers[key]
