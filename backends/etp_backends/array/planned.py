"""The ``numpy_like`` profile: straight-line source that writes into planned buffers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

from attrs import frozen

from etp_ir.core import Input, Literal, Node, Output, Program, freeze
from etp_ir.errors import LoweringError
from etp_ir.types import DType, TensorType

from . import kernels
from .block import Block, Target
from .dialect import Dialect
from .refs import Ref, Strides, row_major
from .slots import Slot, Slots
from .source import Source, layout
from .writer import Writer, tupled


@frozen(eq=False)
class _Memory:
    """Identity of memory that is not a slot."""


class Generator:
    """Source of one program for one dialect, under construction."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.writer = Writer()
        self.slots = Slots()
        self.objects: list[Any] = []
        self._constants: dict[Any, Ref] = {}
        self._views: dict[tuple[str, str], Ref] = {}
        self.pointers: dict[tuple[str, int], str] = {}

    # -- names ------------------------------------------------------------------------------
    def dtype(self, dtype: DType) -> str:
        """Return the name of an element type."""
        return self.writer.use(dtype.array_name)

    def literal(self, number: Literal) -> str:
        """Return a number as source; its element type is that of the arrays beside it."""
        return self.writer.number(number)

    def constant(self, number: Literal, shape: tuple[int, ...]) -> Ref:
        """Return an array filled with a number, made once."""
        key = (repr(number.value), number.dtype.name, shape)
        if key not in self._constants:
            name = self.writer.name("const")
            text = f"xp.asarray({self.literal(number)}, dtype={self.dtype(number.dtype)})"
            if shape:
                text = f"xp.broadcast_to({text}, {shape})"
            type = TensorType(number.dtype, shape)
            self.writer.line(f"{name} = {text}", level=0, note=type)
            self._constants[key] = Ref(name, type, (0,) * len(shape), 0, _Memory(), number)
        return self._constants[key]

    def table(self, node: Node) -> Ref:
        """Return the array of a node without operands, made once."""
        value = node.output
        key = (node.primitive.name, freeze(node.attrs))
        if key not in self._constants:
            text = self.writer.constant(node, self.objects)
            if value.type.rank > 1:
                text += ".copy()"
            name = self.writer.name(value.hint or node.primitive.name)
            self.writer.line(f"{name} = {text}", level=0, note=value.type)
            strides = row_major(value.type.shape)
            self._constants[key] = Ref(name, value.type, strides, 0, _Memory())
        return self._constants[key]

    def view(
        self, x: Ref, template: str, type: TensorType, strides: Strides, hint: str = ""
    ) -> Ref:
        """Return a view, bound once at the level of what it views."""
        if template == "{x}":
            return Ref(x.name, type, strides, x.level, x.root)
        key = (x.name, template)
        if key not in self._views:
            name = self.writer.name(hint or f"{x.name}_view")
            self.writer.line(f"{name} = {template.format(x=x.name)}", level=x.level, note=type)
            self._views[key] = Ref(name, type, strides, x.level, x.root)
        return self._views[key]

    def carve(self, slot: Slot, type: TensorType, hint: str) -> Ref:
        """Return an array in working memory."""
        name = self.writer.name(hint or "v")
        text = f"{name} = carve({slot.name}, {type.shape}, {self.dtype(type.dtype)})"
        self.writer.line(text, level=0, note=type)
        return Ref(name, type, row_major(type.shape), 0, slot)

    # -- kernels ----------------------------------------------------------------------------
    def kernel(self, block: Block, node: Node, outs: Sequence[Ref]) -> None:
        """Append the statements of a node."""
        try:
            kernels.emit(block, node, outs)
        except LoweringError:
            if not self.dialect.host:
                raise
            self._reference(block, node, outs)

    def _reference(self, block: Block, node: Node, outs: Sequence[Ref]) -> None:
        """Append a call of the reference semantics of a primitive without a kernel."""
        index = len(self.objects)
        self.objects.append(partial(node.primitive.reference, **node.attrs))
        args = ", ".join(block.ref(x).name for x in node.inputs)
        call = f"objects[{index}]({args})"
        if len(outs) == 1:
            block.line(f"copyto({outs[0].name}, {call})", node.primitive.name)
            self.writer.use("copyto")
            return
        result = self.writer.name("results")
        block.line(f"{result} = {call}", node.primitive.name)
        for k, out in enumerate(outs):
            block.line(f"{self.writer.use('copyto')}({out.name}, {result}[{k}])", out.type)


def generate_planned(program: Program, dialect: Dialect, donate: Collection[str] = ()) -> Source:
    """Return source that computes a program in planned buffers.

    Parameters
    ----------
    program
        In core primitives only.
    donate
        Names of inputs whose memory may be overwritten; outputs of equal type take it where
        the input has been read for the last time.
    """
    gen = Generator(dialect)
    writer = gen.writer
    function = writer.name(program.name)
    writer.open()
    block = Block(gen, program)
    params: list[str] = []
    for port in program.inputs:
        name = writer.name(port.name)
        params.append(name)
        strides = row_major(port.type.shape)
        block.refs[port.value] = Ref(name, port.type, strides, 1, _Memory())
    free = [port for port in program.inputs if port.name in set(donate)]
    results = [_target(gen, block, out, free) for out in program.outputs]
    block.emit()
    writer.line(f"return {tupled(results)}")
    return layout(
        program, writer, function, params, slots=[(s.name, s.nbytes) for s in gen.slots.all],
        objects=tuple(gen.objects), profile=f"{dialect.name}-like, planned buffers",
    )  # fmt: skip


def _target(gen: Generator, block: Block, out: Output, free: list[Input]) -> str:
    """Return the array of an output: a donated input where legal, else a fresh one."""
    fitting = [port for port in free if port.type == out.type]
    # The input that an output replaces first, for example `h` for `state(h)`.
    fitting.sort(key=lambda p: (p.value is not out.value, p.name not in out.role.of))
    for port in fitting:
        target = Target(block.refs[port.value], over=port.value)
        if out.value is port.value or block.claim(out.value, target):
            free.remove(port)
            return target.ref.name
    name = gen.writer.name(out.key)
    empty, dtype = gen.writer.use("empty"), gen.dtype(out.type.dtype)
    gen.writer.line(f"{name} = {empty}({out.type.shape}, dtype={dtype})", note=out.type)
    ref = Ref(name, out.type, row_major(out.type.shape), 1, _Memory())
    block.deliver(out.value, Target(ref))
    return name
