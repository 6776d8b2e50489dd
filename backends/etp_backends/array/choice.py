"""A `cond` as an ``if`` whose two sides write into the same buffers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from etp_ir.core import Node

from .refs import Ref

if TYPE_CHECKING:
    from .block import Block


def alias(node: Node, k: int) -> Sequence[int]:
    """Return the operands in whose memory result k may be written: none is known to be dead."""
    return ()


def emit(block: Block, node: Node, outs: Sequence[Ref]) -> None:
    """Append the statements of a `cond`."""
    from .block import Block, Target

    writer = block.gen.writer
    sides: list[list[str]] = []
    for key in ("then", "otherwise"):
        region = node.attrs[key]
        inputs = [port.value for port in region.inputs]
        child = Block(
            block.gen, region, parent=block, level=writer.level + 1,
            captured=dict(zip(inputs, node.inputs[1:], strict=True)),
        )  # fmt: skip
        writer.open()
        for out, port in zip(outs, region.outputs, strict=True):
            child.deliver(port.value, Target(out))
        child.emit()
        sides.append(writer.close() or ["    pass"])
    block.line(f"if {block.text(node.inputs[0])}:", node.attrs["then"].name)
    for line in sides[0]:
        block.line(line)
    block.line("else:", node.attrs["otherwise"].name)
    for line in sides[1]:
        block.line(line)
