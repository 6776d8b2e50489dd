"""A scan as a loop over a nested function, with carries in place or in two buffers by turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from etp_ir.core import Node, Operand, Program, Value

from .refs import Ref, row_major

if TYPE_CHECKING:
    from .block import Block


def alias(node: Node, k: int) -> Sequence[int]:
    """Return the operand in whose memory result k may be written: where the carry starts."""
    return (node.attrs["consts"] + k,) if k < node.attrs["carries"] else ()


def emit(block: Block, node: Node, outs: Sequence[Ref]) -> None:
    """Append the loop of a scan.

    A carry whose new value is computed after its old one was last read stays in one buffer.
    Any other has two, which swap after every step; the first is chosen so that the last step
    ends in the buffer of the result.
    """
    from .block import Block, Target

    body: Program = node.attrs["body"]
    consts, carries = node.attrs["consts"], node.attrs["carries"]
    length: int = node.attrs["length"]
    gen, writer = block.gen, block.gen.writer
    values = [port.value for port in body.inputs]
    index = writer.name("t")
    child = Block(
        gen, body, parent=block, index=index, level=writer.level + 1, length=length,
        captured=dict(zip(values[:consts], node.inputs[:consts], strict=True)),
        rows=dict(zip(values[consts + carries :], node.inputs[consts + carries :], strict=True)),
    )  # fmt: skip
    step = writer.name(f"{body.name}_step")
    swapped: list[tuple[str, str]] = []
    starts: list[str] = []
    for k in range(carries):
        value, out = values[consts + k], outs[k]
        new, given = body.outputs[k].value, node.inputs[consts + k]
        if new is value or child.claim(new, Target(out, over=value)):
            child.refs[value] = out
            start(block, out, given)
            continue
        spare = block.scratch(out.type, f"{out.name}_spare")
        first, second = (out, spare) if length % 2 == 0 else (spare, out)
        start(block, first, given)
        names = (writer.name(value.hint or "carry"), writer.name(f"{value.hint or 'carry'}_next"))
        swapped.append(names)
        starts += [first.name, second.name]
        child.refs[value] = _local(names[0], value, child.level)
        child.deliver(new, Target(_local(names[1], value, child.level)))
    writer.open()
    for k in range(carries, len(outs)):
        operand = body.outputs[k].value
        child.deliver(operand, Target(child.row(outs[k], _row_value(operand, outs[k]))))
    child.emit()
    lines = writer.close()
    _loop(block, step, index, node, lines, swapped, starts)


def _local(name: str, value: Value, level: int) -> Ref:
    return Ref(name, value.type, row_major(value.type.shape), level, object())


def _row_value(operand: Operand, stack: Ref) -> Value:
    """Return a value that stands for one row of a stacked result."""
    return Value(operand.type, f"{stack.name}_t")


def start(block: Block, buffer: Ref, operand: Operand) -> None:
    """Append the copy of a carry's first value into its buffer, unless it is there."""
    if isinstance(operand, Value) and block.number(operand) is None:
        first = block.ref(operand)
        if first.root is buffer.root:
            return
    block.copy(buffer, operand)


def _loop(
    block: Block, step: str, index: str, node: Node, lines: list[str],
    swapped: list[tuple[str, str]], starts: list[str],
) -> None:  # fmt: skip
    length: int = node.attrs["length"]
    names = [name for pair in swapped for name in pair]
    turned = [name for now, later in swapped for name in (later, now)]
    block.gen.writer.function(step, [index, *names], lines, note=f"scan of {length} steps")
    if names:
        block.line(f"{', '.join(names)} = {', '.join(starts)}")
    span = f"range({length - 1}, -1, -1)" if node.attrs["reverse"] else f"range({length})"
    block.line(f"for {index} in {span}:")
    block.line(f"    {step}({', '.join([index, *names])})")
    if names:
        block.line(f"    {', '.join(names)} = {', '.join(turned)}")
