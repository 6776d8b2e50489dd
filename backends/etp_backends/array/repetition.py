"""A `while` as a loop of Python, with carries that are replaced after every round."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from etp_ir.core import Node, Program

from .refs import Ref
from .scan import start

if TYPE_CHECKING:
    from .block import Block


def alias(node: Node, k: int) -> Sequence[int]:
    """Return the operand in whose memory result k may be written: where the carry starts."""
    return (node.attrs["consts"] + k,)


def emit(block: Block, node: Node, outs: Sequence[Ref]) -> None:
    """Append the loop of a `while`.

    A carry whose new value is computed after its old one was last read stays in its buffer; any
    other is computed beside it and copied.
    """
    from .block import Target

    consts: int = node.attrs["consts"]
    test: Program = node.attrs["test"]
    body: Program = node.attrs["body"]
    writer = block.gen.writer
    for out, x in zip(outs, node.inputs[consts:], strict=True):
        start(block, out, x)
    writer.open()
    asked = _child(block, node, test, outs)
    asked.emit()
    writer.line(f"if not {asked.text(test.outputs[0].value)}:")
    writer.line("    break")
    turned = _child(block, node, body, outs)
    copies: list[tuple[Ref, Ref]] = []
    for k, (out, port) in enumerate(zip(outs, body.outputs, strict=True)):
        carry = body.inputs[consts + k].value
        if port.value is carry or turned.claim(port.value, Target(out, over=carry)):
            continue
        spare = block.scratch(out.type, f"{out.name}_next")
        turned.deliver(port.value, Target(spare))
        copies.append((out, spare))
    turned.emit()
    for out, spare in copies:
        block.copy(out, spare)
    lines = writer.close()
    block.line("while True:", body.name)
    for line in lines:
        block.line(line)


def _child(block: Block, node: Node, region: Program, outs: Sequence[Ref]) -> Block:
    from .block import Block

    consts: int = node.attrs["consts"]
    inputs = [port.value for port in region.inputs]
    child = Block(
        block.gen, region, parent=block, level=block.gen.writer.level, length=2,
        captured=dict(zip(inputs[:consts], node.inputs[:consts], strict=True)),
    )  # fmt: skip
    child.refs.update(zip(inputs[consts:], outs, strict=True))
    return child
