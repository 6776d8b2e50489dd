"""Eligibility-trace primitives: operations marked as carrying trained weights.

The mark is all they add. Each is declared by its meaning, a function of core operations, from
which every rule is derived, and by the letters of its trained operands, see `Bilinear`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .bilinear import Rule, Trained
from .builder import Builder
from .core import Node, Operand, Program, Value
from .interpreter import run
from .meaning import meaning
from .primitive import Hole, Primitive, get, register
from .tracer import Tracer, bind, operand, replay
from .types import TensorType, type_of


def marked(
    name: str,
    meaning: Callable[..., Any],
    trained: Mapping[str, Trained],
    *,
    check: Rule | None = None,
    positions: str = "mixing",
    leading: int | None = None,
    infer: Rule | None = None,
    reference: Rule | None = None,
) -> Primitive:
    """Declare and register an eligibility-trace primitive.

    Parameters
    ----------
    name
        Name in the text of a program.
    meaning
        ``meaning(*arrays, **attrs)`` computes the result with `etp_ir.ops`; attributes are its
        keyword-only arguments.
    trained
        What can be trained, by name.
    check
        ``check(*operands, **attrs)`` raises an error that a user understands where the operands
        do not fit.
    positions, leading
        See `Primitive`.
    infer, reference
        See `Primitive`; derived from ``meaning`` where not given.

    Raises
    ------
    IRError
        If the name is taken.
    """
    meant = _Meaning(name, meaning, leading)

    def infer_type(*operands: Operand, **attrs: Any) -> TensorType:
        if check is not None:
            check(*operands, **attrs)
        return meant.program([x.type for x in operands], attrs).outputs[0].type

    def evaluated(*arrays: Any, **attrs: Any) -> Any:
        return meant.run(arrays, attrs)

    # The attributes of a primitive are the keyword-only arguments of its rule.
    vars(infer_type)["__signature__"] = inspect.signature(meaning)
    return register(
        Primitive(
            name=name, infer=infer or infer_type, reference=reference or evaluated, jvp=meant.jvp,
            transpose=meant.transpose, batch=meant.batch, positions=positions, lower=meaning,
            trained=dict(trained), leading=leading,
        )
    )  # fmt: skip


class _Meaning:
    """The rules that follow from what an operation computes."""

    def __init__(self, name: str, function: Callable[..., Any], leading: int | None) -> None:
        self.name, self.function, self.leading = name, function, leading

    def program(self, types: Sequence[TensorType], attrs: Mapping[str, Any]) -> Program:
        """Return the operation as a program, its inputs in the order of the operands."""
        return meaning(self.name, self.function, types, attrs)

    def run(self, arrays: Sequence[Any], attrs: Mapping[str, Any]) -> Any:
        program = self.program([type_of(x) for x in arrays], attrs)
        return run(program, arrays)[0]

    def jvp(self, primals: Any, tangents: Any, outs: Any, **attrs: Any) -> list[Any]:
        from .transforms.jvp import push

        builder = outs[0].builder
        program, env = self._placed(builder, primals, attrs)
        _append(program.nodes, builder, env)
        given = {p.value: t for p, t in zip(program.inputs, tangents, strict=True)}
        return [push(builder, program.nodes, given, env=env).get(_result(program))]

    def transpose(self, cotangents: Any, operands: Any, **attrs: Any) -> list[Any]:
        from .transforms.transpose import pull

        (ct,) = cotangents
        program, env = self._placed(ct.builder, operands, attrs)
        holes = [p.value for p in program.inputs if p.value not in env]
        dependent: set[Operand] = set(holes)
        linear = []
        for node in program.nodes:
            if dependent.isdisjoint(node.inputs):
                _append([node], ct.builder, env)
            else:
                linear.append(node)
                dependent.update(node.outputs)
        pulled = pull(ct.builder, linear, holes, {_result(program): ct}, env=env)
        return [pulled.get(p.value) for p in program.inputs]

    def batch(self, operands: Any, axes: Any, size: int, **attrs: Any) -> Any:
        from .primitives.base import fronted
        from .transforms.batch import batch_program

        if [i for i, a in enumerate(axes) if a is not None] == [self.leading]:
            return [bind(get(self.name), *fronted(operands, axes), **attrs)], [0]
        builder = next(x.builder for x in operands if isinstance(x, Tracer))
        types = []
        for x, axis in zip(operands, axes, strict=True):
            type = operand(builder, x).type
            if axis is not None:
                type = type.with_shape(type.shape[:axis] + type.shape[axis + 1 :])
            types.append(type)
        program = self.program(types, attrs)
        where = {p.name: a for p, a in zip(program.inputs, axes, strict=True) if a is not None}
        many, flags = batch_program(program, size, where, which_outputs=True)
        return replay(many, builder, operands), [0 if flag else None for flag in flags]

    def _placed(
        self, builder: Builder, items: Sequence[Any], attrs: Mapping[str, Any]
    ) -> tuple[Program, dict[Operand, Operand]]:
        """Return the operation, and what stands for its inputs; nothing where there is a hole."""
        given = [None if isinstance(x, Hole) else operand(builder, x) for x in items]
        types = [x.type if o is None else o.type for x, o in zip(items, given, strict=True)]
        program = self.program(types, attrs)
        ports = zip(program.inputs, given, strict=True)
        return program, {port.value: x for port, x in ports if x is not None}


def _append(nodes: Sequence[Node], builder: Builder, env: dict[Operand, Operand]) -> None:
    """Append nodes under the source that the builder is at."""
    for node in nodes:
        inputs = [env.get(x, x) for x in node.inputs]
        types = [v.type for v in node.outputs]
        outputs = builder.emit(node.primitive, inputs, node.attrs, types=types)
        env.update(zip(node.outputs, outputs, strict=True))


def _result(program: Program) -> Value:
    result = program.outputs[0].value
    assert isinstance(result, Value)
    return result
