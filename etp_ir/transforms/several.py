"""Forward mode along several directions at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ..builder import Builder
from ..core import Node, Operand, Value
from ..passes.dce import dce
from ..tracer import Tracer, replay, wrap
from .batch import batch_program
from .jvp import Edge, push


def push_several(
    builder: Builder,
    nodes: Sequence[Node],
    tangents: Mapping[Value, Tracer],
    wanted: Collection[Value],
    *,
    detach: Collection[Edge] = (),
) -> dict[Value, Tracer]:
    """Push tangents that lie side by side along a first axis, as many in each.

    The nodes of one direction are written once and batched: their number does not grow with that
    of the directions.

    Parameters
    ----------
    builder, nodes, detach
        Those of `push`.
    tangents
        Tangents of inputs or of intermediate values, each with the axis of directions in front.
    wanted
        Values whose tangents are asked for.

    Returns
    -------
    dict
        Those of the wanted tangents that are not zero, with the axis of directions in front.
    """
    (count,) = {x.shape[0] for x in tangents.values()}
    one = Builder(f"{builder.name}.direction", share=True, float_dtype=builder.float_dtype)
    values = dict.fromkeys(
        x for node in nodes for x in (*node.inputs, *node.outputs) if isinstance(x, Value)
    )
    env: dict[Operand, Operand] = {
        v: one.input(f"v{i}", v.type, "input") for i, v in enumerate(values)
    }
    given = {
        v: Tracer(one, one.input(f"d{i}", v.type, "input")) for i, v in enumerate(tangents)
    }  # fmt: skip
    known = push(one, nodes, given, detach=detach, env=env)
    found = [v for v in wanted if v in known]
    program = dce(one.finish([(known[v].value, f"output({i})") for i, v in enumerate(found)]))
    axes = {f"d{i}": 0 for i in range(len(tangents))}
    several = batch_program(program, count, axes, force=range(len(found)))
    arguments: list[Any] = [*(wrap(builder, v) for v in values), *tangents.values()]
    return dict(zip(found, replay(several, builder, arguments), strict=True))
