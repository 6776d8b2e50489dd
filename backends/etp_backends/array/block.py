"""One block of nodes turned into statements that write into planned buffers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from attrs import frozen

from etp_ir.core import Literal, Node, Operand, Program, Value
from etp_ir.types import TensorType

from . import kernels
from .analysis import Analysis, analyse
from .refs import Ref, Strides, row_major, same_layout
from .slots import Slot

if TYPE_CHECKING:
    from .planned import Generator


@frozen(eq=False)
class Target:
    """Memory that an output of a block must end up in.

    Attributes
    ----------
    ref
        The array to write.
    over
        The input of the block that lives in the same memory, if there is one.
    """

    ref: Ref
    over: Value | None = None


class Block:
    """The body of a function in generated source, under construction.

    Parameters
    ----------
    captured
        For inputs that are values of the enclosing block: the operand there.
    rows
        For inputs that are one row of an array of the enclosing block: the operand there.
    """

    def __init__(
        self,
        gen: Generator,
        program: Program,
        *,
        parent: Block | None = None,
        captured: Mapping[Value, Operand] | None = None,
        rows: Mapping[Value, Operand] | None = None,
        index: str = "",
        level: int = 1,
        length: int = 1,
    ) -> None:
        self.gen = gen
        self.program = program
        self.parent = parent
        self.index = index
        self.level = level
        self.length = length
        self.refs: dict[Value, Ref] = {}
        self._captured = dict(captured or {})
        self._rows = dict(rows or {})
        self._homes: dict[Value, Ref] = {}
        self._slots: dict[Value, Slot] = {}
        self._copies: list[tuple[Ref, Operand]] = []
        self._scratch: list[Slot] = []
        self._kept: dict[str, Ref] = {}
        self.facts = self._analyse()
        self._producers = program.producers

    def _analyse(self) -> Analysis:
        strides: dict[Value, Strides] = {}
        uniform: dict[Value, Literal] = {}
        for value, operand in [*self._captured.items(), *self._rows.items()]:
            assert self.parent is not None
            filled = self.parent.number(operand)
            if filled is not None:
                uniform[value] = filled
            if isinstance(operand, Value):
                outer = self.parent.facts.strides[operand]
                strides[value] = outer[1:] if value in self._rows else outer
        return analyse(self.program, strides, uniform)

    # -- operands ---------------------------------------------------------------------------
    def number(self, x: Operand) -> Literal | None:
        """Return the number that every element of an operand is, if it is one."""
        return x if isinstance(x, Literal) else self.facts.uniform.get(x)

    def ref(self, x: Operand) -> Ref:
        """Return the array of an operand, emitting views and constants on first use."""
        if isinstance(x, Literal):
            return self.gen.constant(x, ())
        if x not in self.refs:
            self.refs[x] = self._bind(x)
        return self.refs[x]

    def _bind(self, x: Value) -> Ref:
        if x in self.facts.uniform:
            return self.gen.constant(self.facts.uniform[x], x.type.shape)
        if x in self._captured:
            assert self.parent is not None
            return self.parent.ref(self._captured[x])
        if x in self._rows:
            assert self.parent is not None
            stack = self.parent.ref(self._rows[x])
            return self.row(stack, x)
        node = self._producers[x]
        if not node.inputs:
            return self.gen.table(node)
        base = self.ref(node.inputs[0])
        return self.view(base, self.facts.views[node], x.type, self.facts.strides[x], hint=x.hint)

    def row(self, stack: Ref, value: Value) -> Ref:
        """Return row ``index`` of an array, bound at this level."""
        # An ellipsis keeps the row of a vector an array instead of a scalar.
        text = f"{{x}}[{self.index}]" if value.type.rank else f"{{x}}[{self.index}, ...]"
        name = self.gen.writer.named(value)
        line = f"{name} = {text.format(x=stack.name)}"
        self.gen.writer.line(line, level=self.level, note=value.type)
        return Ref(name, value.type, stack.strides[1:], self.level, stack.root)

    def text(self, x: Operand) -> str:
        """Return an operand as a number where it is one, else as the name of its array."""
        filled = self.number(x)
        return self.gen.literal(filled) if filled is not None else self.ref(x).name

    def view(
        self, x: Ref, template: str, type: TensorType, strides: Strides, hint: str = ""
    ) -> Ref:
        """Return a view, bound where the viewed array is bound."""
        return self.gen.view(x, template, type, strides, hint)

    def scratch(self, type: TensorType, hint: str = "scratch") -> Ref:
        """Return working memory that is free again after the current node."""
        slot = self.gen.slots.take(type.nbytes)
        self._scratch.append(slot)
        return self.gen.carve(slot, type, hint)

    def line(self, text: str, note: object = None) -> None:
        """Append a statement."""
        self.gen.writer.line(text, note=note)

    def call(self, function: str, out: Ref, *args: str, **options: str) -> None:
        """Append ``function(*args, **options, out=out)``."""
        listed = [*args, *(f"{k}={v}" for k, v in options.items()), f"out={out.name}"]
        self.line(f"{self.gen.writer.use(function)}({', '.join(listed)})", out.type)

    def copy(self, out: Ref, x: Operand | Ref, cast: bool = False) -> None:
        """Append a copy of an array or number into memory."""
        source = x.name if isinstance(x, Ref) else self.text(x)
        function = self.gen.writer.use("copyto")
        how = ', casting="unsafe"' if cast else ""
        self.line(f"{function}({out.name}, {source}{how})", out.type)

    # -- what does not change inside loops --------------------------------------------------
    def origin(self, x: Operand | None) -> Block:
        """Return the outermost enclosing block that has a value."""
        block = self
        while isinstance(x, Value) and x in block._captured:
            assert block.parent is not None
            x, block = block._captured[x], block.parent
        return block

    def trips(self, x: Operand | None) -> int:
        """Return how often a statement here runs while a value stays the same."""
        outer, block, count = self.origin(x), self, 1
        while block is not outer:
            assert block.parent is not None
            block, count = block.parent, count * block.length
        return count

    def kept_copy(self, x: Ref) -> Ref:
        """Return a row-major copy that lasts until the node being emitted here is done."""
        if x.name not in self._kept:
            # The loop runs again after this: what it has used and freed by now, it will overwrite.
            slot = self.gen.slots.fresh(x.type.nbytes)
            self._scratch.append(slot)
            self._kept[x.name] = self.gen.carve(slot, x.type, f"{x.name}_copy")
            text = f"{self.gen.writer.use('copyto')}({self._kept[x.name].name}, {x.name})"
            self.gen.writer.line(text, level=self.level, note=x.type)
        return self._kept[x.name]

    # -- where outputs go -------------------------------------------------------------------
    def deliver(self, operand: Operand, target: Target) -> None:
        """Make the block leave an output in its target."""
        if operand is target.over:
            return
        if not self.claim(operand, target):
            self._copies.append((target.ref, operand))

    def claim(self, operand: Operand, target: Target) -> bool:
        """Make the node that computes a value write it into the target, where that is legal."""
        if not self._may_write(operand, target):
            return False
        assert isinstance(operand, Value)
        self._homes[operand] = target.ref
        node = self._producers[operand]
        # A value that dies in computing this one may use the same memory before it.
        for k in self._alias(node, node.outputs.index(operand)):
            x = node.inputs[k]
            if (
                isinstance(x, Value)
                and self.facts.root[x] is x
                and x.type == operand.type
                and self._dies_at(x, node)
                and self._only_aligned(node, x)
                and self.claim(x, target)
            ):
                break
        return True

    def _may_write(self, operand: Operand, target: Target) -> bool:
        if not isinstance(operand, Value) or operand in self._homes:
            return False
        if operand not in self.facts.defined:
            return False
        if target.over is None:
            return True
        at = self.facts.defined[operand]
        last = self.facts.last_use.get(target.over, -1)
        if last != at:
            return last < at
        node = self._producers[operand]
        return self._only_aligned(node, target.over) and any(
            node.inputs[k] is target.over for k in self._alias(node, node.outputs.index(operand))
        )

    def _alias(self, node: Node, index: int) -> Sequence[int]:
        return kernels.alias(node, index, self.gen.dialect)

    def _dies_at(self, root: Value, node: Node) -> bool:
        return self.facts.last_use.get(root) == self.facts.defined[node.outputs[0]]

    def _only_aligned(self, node: Node, root: Value) -> bool:
        """Whether a node reads memory only through arrays that lie exactly over the root."""
        readers = [x for x in node.inputs if isinstance(x, Value) and self.facts.root[x] is root]
        if len(readers) > 1 and node.regions:
            return False
        return all(
            x.type.dtype is root.type.dtype
            and x.type.size == root.type.size
            and same_layout(x.type.shape, self.facts.strides[x], row_major(x.type.shape))
            for x in readers
        )

    # -- statements -------------------------------------------------------------------------
    def emit(self) -> None:
        """Append the statements of all nodes, then the copies into targets not written yet."""
        for node in self.program.nodes:
            if node.outputs[0] not in self.facts.defined:
                continue
            outs = [self._home(node, k) for k in range(len(node.outputs))]
            self.gen.kernel(self, node, outs)
            self._release(self.facts.defined[node.outputs[0]])
        for target, operand in self._copies:
            self.copy(target, operand)
        self._release(len(self.program.nodes))

    def _home(self, node: Node, k: int) -> Ref:
        value = node.outputs[k]
        if value in self._homes:
            self.refs[value] = self._homes[value]
            return self.refs[value]
        slot = self._inherited(node, k)
        if slot is None:
            slot = self.gen.slots.take(value.type.nbytes)
        self._slots[value] = slot
        self.refs[value] = self.gen.carve(slot, value.type, value.hint)
        return self.refs[value]

    def _inherited(self, node: Node, k: int) -> Slot | None:
        """Return the slot of an operand that dies here and may be overwritten."""
        for i in self._alias(node, k):
            x = node.inputs[i]
            if not isinstance(x, Value):
                continue
            root = self.facts.root[x]
            if (
                root in self._slots
                and root.type.nbytes == node.outputs[k].type.nbytes
                and x.type == node.outputs[k].type
                and self._dies_at(root, node)
                and self._only_aligned(node, root)
            ):
                return self._slots.pop(root)
        return None

    def _release(self, at: int) -> None:
        for slot in self._scratch:
            self.gen.slots.give(slot)
        self._scratch.clear()
        self._kept.clear()
        last = self.facts.last_use
        for value in [v for v in self._slots if last.get(v, at) <= at]:
            self.gen.slots.give(self._slots.pop(value))
