"""Source text under construction: nested blocks of lines, and identifiers."""

from __future__ import annotations

import keyword
import re
from collections.abc import Sequence
from typing import Any

from etp_ir.core import Literal, Node, Value

INDENT = "    "
# Longer tables are kept out of the text.
INLINE = 16


class Writer:
    """Lines of nested blocks, and the identifiers they use.

    Level 0 runs once, when the source is loaded; level 1 is the compiled function; each loop
    body is one level more. A line appended to an outer level runs before the block inside it.
    """

    def __init__(self, prefix: str = "xp") -> None:
        self.prefix = prefix
        self.levels: list[list[str]] = [[]]
        self.imported: dict[str, str] = {}
        self._taken: dict[str, int] = {}
        for name in (prefix, "slot", "carve", "special", "nonzeros", "objects", "range", "slice"):
            self._taken[name] = 0

    @property
    def level(self) -> int:
        """Level of the innermost open block."""
        return len(self.levels) - 1

    def line(self, text: str, *, level: int | None = None, note: object = None) -> None:
        """Append a line to a block, with a comment."""
        text = text if note is None else f"{text}  # {note}"
        self.levels[self.level if level is None else level].append(text)

    def open(self) -> None:
        """Begin a block inside the innermost one."""
        self.levels.append([])

    def close(self) -> list[str]:
        """End the innermost block and return its lines, indented."""
        return [INDENT + line if line else "" for line in self.levels.pop()]

    def function(self, name: str, params: Sequence[str], body: list[str], note: str) -> None:
        """Append the definition of a nested function."""
        self.levels[-1] += ["", f"# {note}", f"def {name}({', '.join(params)}):"]
        self.levels[-1] += [*(body or [f"{INDENT}pass"]), ""]

    def name(self, hint: str) -> str:
        """Return a new identifier that resembles the hint."""
        base = re.sub(r"\W+", "_", hint).strip("_") or "v"
        if base[0].isdigit():
            base = f"v{base}"
        if keyword.iskeyword(base):
            base += "_"
        count = self._taken.get(base)
        if count is None:
            self._taken[base] = 1
            return base
        while True:
            count += 1
            candidate = f"{base}_{count}"
            if candidate not in self._taken:
                self._taken[base] = count
                self._taken[candidate] = 1
                return candidate

    def named(self, value: Value) -> str:
        """Return a new identifier for a value of the program."""
        return self.name(value.hint or "v")

    def use(self, function: str) -> str:
        """Return the identifier of a function of the namespace, binding it once at the top."""
        if function not in self.imported:
            self.imported[function] = self.name(function.replace(".", "_"))
        return self.imported[function]

    def number(self, number: Literal) -> str:
        """Return a number as source; its element type is that of the arrays beside it."""
        text = repr(number.value)
        if text.lstrip("-") in ("inf", "nan"):
            return text.replace("inf", self.use("inf")).replace("nan", self.use("nan"))
        return text

    def constant(self, node: Node, objects: list[Any]) -> str:
        """Return the array of a node without operands as an expression; long tables are objects."""
        dtype = self.use(node.output.type.dtype.array_name)
        if node.primitive.name == "iota":
            shape, axis = node.attrs["shape"], node.attrs["axis"]
            text = f"{self.prefix}.arange({shape[axis]}, dtype={dtype})"
            if len(shape) == 1:
                return text
            thin = tuple(n if i == axis else 1 for i, n in enumerate(shape))
            spread = f"{self.prefix}.reshape({text}, {thin})"
            return f"{self.prefix}.broadcast_to({spread}, {shape})"
        table = node.primitive.reference(**node.attrs)
        if table.size <= INLINE:
            return f"{self.prefix}.asarray({table.tolist()}, dtype={dtype})"
        objects.append(table)
        return f"{self.prefix}.asarray(objects[{len(objects) - 1}], dtype={dtype})"

    def bindings(self) -> list[str]:
        """Return the lines that bind the functions in use."""
        return [f"{name} = {self.prefix}.{f}" for f, name in self.imported.items()]


def tupled(items: Sequence[str]) -> str:
    """Return the source of a tuple."""
    return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"
