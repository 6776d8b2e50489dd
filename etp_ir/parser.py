"""Text to program: a recursive descent over the grammar in ``docs/ir.md``.

The parser knows structure only: names, counts and declared types. Whether an operation accepts
its operands is for `etp_ir.verify`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, TypeVar

from . import primitives  # noqa: F401  registers every primitive the text may name
from .core import Input, Literal, Node, Operand, Output, Program, Role, Value
from .errors import IRError, ParseError, TypeRuleError, compose
from .primitive import Primitive, get
from .printer import NAME, literal_dtype
from .source import Source
from .types import BOOL, DTYPES, DType, TensorType, parse_type

T = TypeVar("T")

_BLANK = re.compile(r"(?:\s|//[^\n]*)*")
_TYPE = re.compile(r"[a-z]+[0-9]*\s*\[[0-9,\s]*\]")
_NUMBER = re.compile(
    r"(?:true|false|-?(?:inf|nan|[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?))(?![\w.])"
)
_SUFFIX = re.compile(r":\s*([a-z]+[0-9]*)(?![\w.]|\s*\[)")
_SOURCE = re.compile(r"(?P<file>.*?):(?P<line>[0-9]+)(?: in (?P<function>.*))?", re.DOTALL)
_DTYPES = f"use one of {', '.join(DTYPES)}"
_STRINGS = json.JSONDecoder()


def parse(text: str) -> Program:
    """Return the program that ``text`` says.

    Raises
    ------
    ParseError
        With the line, the column and a caret under the place.
    """
    parser = _Parser(text)
    program = parser.program()
    parser.end()
    return program


class _Parser:
    """A position in a text, and one method per production of the grammar."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.blank()

    # -- characters -------------------------------------------------------------------------
    def error(self, what: str, *, how: str = "", at: int | None = None) -> ParseError:
        at = self.at if at is None else at
        start = self.text.rfind("\n", 0, at) + 1
        line, column = self.text.count("\n", 0, at) + 1, at - start + 1
        shown = self.text[start:].split("\n", 1)[0]
        # Tabs are kept under the line, so that the caret stands where it should.
        lead = "".join("\t" if c == "\t" else " " for c in shown[: column - 1])
        gutter = " " * len(str(line))
        where = f"at line {line}, column {column}\n{line} | {shown}\n{gutter} | {lead}^"
        return ParseError(compose(what, where=where, how=how))

    def blank(self) -> None:
        self.at = _BLANK.match(self.text, self.at).end()  # type: ignore[union-attr]

    def accept(self, mark: str) -> bool:
        """Step over a mark or a word, if it is next."""
        if not self.text.startswith(mark, self.at):
            return False
        end = self.at + len(mark)
        if mark[-1].isalpha() and NAME.match(self.text, end):
            return False
        self.at = end
        self.blank()
        return True

    def expect(self, mark: str, why: str) -> None:
        if not self.accept(mark):
            raise self.error(f"expected `{mark}` {why}, found {self.found()}")

    def found(self) -> str:
        if self.at >= len(self.text):
            return "the end of the text"
        word = NAME.match(self.text, self.at)
        return f"`{word[0] if word else self.text[self.at]}`"

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.text, self.at)
        if found is not None:
            self.at = found.end()
            self.blank()
        return found

    def end(self) -> None:
        if self.at < len(self.text):
            found = self.found()
            raise self.error(f"expected the end of the text after the program, found {found}")

    # -- words ------------------------------------------------------------------------------
    def word(self, what: str) -> str:
        found = self.match(NAME)
        if found is None:
            raise self.error(f"expected {what}, found {self.found()}")
        return found[0]

    def string(self, what: str) -> str:
        if not self.text.startswith('"', self.at):
            raise self.error(f"expected {what}, found {self.found()}")
        try:
            item, self.at = _STRINGS.raw_decode(self.text, self.at)
        except json.JSONDecodeError as error:
            how = "close it with a double quote; a backslash escapes one inside"
            raise self.error(f"this is no string: {error.msg}", how=how) from None
        self.blank()
        return str(item)

    def name(self, what: str) -> str:
        return self.string(what) if self.text.startswith('"', self.at) else self.word(what)

    def listed(self, item: Callable[[], T], close: str, why: str) -> list[T]:
        """Return items between commas, up to a closing mark."""
        items: list[T] = []
        while not self.accept(close):
            if items:
                self.expect(",", f"or `{close}` {why}")
            items.append(item())
        return items

    # -- types and roles --------------------------------------------------------------------
    def type(self) -> TensorType:
        start = self.at
        found = self.match(_TYPE)
        if found is None:
            raise self.error(
                f"expected a type, found {self.found()}", how="write it like `f32[2,3]`"
            )
        try:
            return parse_type("".join(found[0].split()))
        except TypeRuleError:
            raise self.error(f"no element type in `{found[0]}`", how=_DTYPES, at=start) from None

    def types(self) -> list[TensorType]:
        items = [self.type()]
        while self.accept(","):
            items.append(self.type())
        return items

    def role(self, default: Role) -> Role:
        if NAME.match(self.text, self.at) is None:
            return default
        kind = self.word("a role")
        if not self.accept("("):
            return Role(kind)
        return Role(kind, tuple(self.listed(lambda: self.name("a name"), ")", "in a role")))

    # -- programs ---------------------------------------------------------------------------
    def program(self) -> Program:
        self.expect("program", "at the start")
        self.expect("@", "before the name of the program")
        name = self.name("the name of the program")
        env: dict[str, Value] = {}
        self.expect("(", "before the inputs")
        inputs = self.listed(lambda: self.input(env), ")", "after an input")
        self.expect("->", "before the outputs")
        self.expect("(", "before the outputs")
        heads: list[tuple[TensorType, Role]] = []
        while not self.accept(")"):
            if heads:
                self.expect(",", "or `)` after an output")
            heads.append((self.type(), self.role(Role("output", (str(len(heads)),)))))
        self.expect("{", "before the nodes")
        nodes = []
        while self.text.startswith("%", self.at):
            nodes.append(self.node(env))
        self.expect("return", "or a node")
        outputs = self.outputs(env, heads)
        self.expect("}", "after the outputs")
        return Program(name, tuple(inputs), tuple(nodes), tuple(outputs))

    def input(self, env: dict[str, Value]) -> Input:
        start = self.at
        self.expect("%", "before the name of an input")
        name = self.name("the name of an input")
        self.expect(":", "before the type of an input")
        value = Value(self.type(), name)
        self.define(env, name, value, start)
        return Input(name, self.role(Role("input")), value)

    def define(self, env: dict[str, Value], name: str, value: Value, at: int) -> None:
        if name in env:
            how = "give one of them another name"
            raise self.error(f"%{name} is defined twice", how=how, at=at)
        env[name] = value

    def outputs(self, env: dict[str, Value], heads: list[tuple[TensorType, Role]]) -> list[Output]:
        outputs: list[Output] = []
        for i, (declared, role) in enumerate(heads):
            if i:
                self.expect(",", f"after output {i - 1}: {len(heads)} are declared")
            start = self.at
            value = self.settle([self.operand(env)], declared.dtype)[0]
            if value.type != declared:
                what = f"output {role} is declared {declared} and returned as {value.type}"
                raise self.error(what, how="declare what is returned", at=start)
            outputs.append(Output(value, role))
        return outputs

    # -- nodes ------------------------------------------------------------------------------
    def node(self, env: dict[str, Value]) -> Node:
        starts, names = [self.at], [self.result()]
        while self.accept(","):
            starts.append(self.at)
            names.append(self.result())
        self.expect("=", "after the results")
        primitive = self.primitive()
        given: list[Any] = []
        while given or self.text.startswith("%", self.at) or _NUMBER.match(self.text, self.at):
            given.append(self.operand(env))
            if not self.accept(","):
                break
        attrs = self.attrs() if self.accept("{") else {}
        self.expect(":", "before the types of the results")
        start = self.at
        types = self.types()
        if len(types) != len(names):
            what = f"{len(names)} results but {len(types)} types"
            raise self.error(what, how="write one type for each result", at=start)
        # Bare numbers are names the printer made, so they are no hint.
        values = [
            Value(t, "" if re.fullmatch("[0-9]+", n) else n)
            for n, t in zip(names, types, strict=True)
        ]
        source = self.source() if self.accept("loc") else None
        inputs = self.settle(given, literal_dtype(x.type.dtype for x in given if type(x) is Value))
        for name, value, at in zip(names, values, starts, strict=True):
            self.define(env, name, value, at)
        return Node(primitive, tuple(inputs), tuple(values), attrs, source)

    def result(self) -> str:
        self.expect("%", "before the name of a result")
        return self.name("the name of a result")

    def primitive(self) -> Primitive:
        start = self.at
        try:
            return get(self.word("a primitive"))
        except IRError as error:
            if isinstance(error, ParseError):
                raise
            raise self.error(str(error), at=start) from None

    def operand(self, env: dict[str, Value]) -> Any:
        """Return a value, or the pieces of a literal: text, element type if written, place."""
        start = self.at
        if self.accept("%"):
            name = self.name("the name of a value")
            if name not in env:
                what = f"%{name} is not defined before this"
                raise self.error(what, how="define it above", at=start)
            return env[name]
        found = self.match(_NUMBER)
        if found is None:
            raise self.error(f"expected a value or a number, found {self.found()}")
        return found[0], self.suffix(), start

    def suffix(self) -> DType | None:
        start = self.at
        found = self.match(_SUFFIX)
        if found is not None and found[1] not in DTYPES:
            raise self.error(f"`{found[1]}` is no element type", how=_DTYPES, at=start)
        return DTYPES[found[1]] if found else None

    def settle(self, given: list[Any], usual: DType | None) -> list[Operand]:
        """Return the operands with the element types of their bare literals settled."""
        operands: list[Operand] = []
        for x in given:
            if isinstance(x, Value):
                operands.append(x)
                continue
            text, dtype, start = x
            dtype = dtype or usual
            if dtype is None:
                what = f"the other operands do not settle the element type of {text}"
                raise self.error(what, how=f"write it out, as in `{text}:f32`", at=start)
            operands.append(Literal(self.number(text, dtype, start), dtype))
        return operands

    def number(self, text: str, dtype: DType, at: int) -> bool | int | float:
        if (text in ("true", "false")) is (dtype is BOOL):
            if dtype is BOOL:
                return text == "true"
            if dtype.is_float:
                return float(text)
            if re.fullmatch("-?[0-9]+", text):
                return int(text)
        raise self.error(f"{text} is not a number of type {dtype}", how="convert it first", at=at)

    def attrs(self) -> dict[str, Any]:
        attrs: dict[str, Any] = {}
        while not self.accept("}"):
            if attrs:
                self.expect(",", "or `}` after an attribute")
            start = self.at
            key = self.word("the name of an attribute")
            if key in attrs:
                raise self.error(f"attribute {key} is given twice", how="keep one", at=start)
            self.expect("=", "before the value of an attribute")
            attrs[key] = self.attribute()
        return attrs

    def attribute(self) -> Any:
        if self.text.startswith('"', self.at):
            return self.string("a string")
        if self.accept("["):
            return tuple(self.listed(self.attribute, "]", "in a list"))
        found = self.match(_NUMBER)
        if found is not None:
            text = found[0]
            if text in ("true", "false"):
                return text == "true"
            return int(text) if re.fullmatch("-?[0-9]+", text) else float(text)
        word = NAME.match(self.text, self.at)
        if word is not None and word[0] == "program":
            return self.program()
        if word is not None and word[0] in DTYPES:
            return DTYPES[self.word("an element type")]
        raise self.error(
            f"expected the value of an attribute, found {self.found()}",
            how='write a number, true, false, "text", [a, list], an element type or a program',
        )

    def source(self) -> Source:
        start = self.at
        text = self.string("a location")
        found = _SOURCE.fullmatch(text)
        if found is None:
            how = 'write it like "model.py:12"'
            raise self.error(f'"{text}" is no location', how=how, at=start)
        return Source(found["file"], int(found["line"]), found["function"] or "")
