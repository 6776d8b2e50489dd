"""Reverse mode: cotangents pulled back through linear nodes, last to first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import ops
from ..builder import Builder
from ..core import Node, Operand, Value
from ..errors import IRError
from ..primitive import Hole
from ..tracer import Tracer, wrap


def pull(
    builder: Builder,
    nodes: Sequence[Node],
    linear_in: Sequence[Value],
    cotangents: Mapping[Value, Any],
    *,
    env: Mapping[Operand, Operand] | None = None,
) -> dict[Value, Tracer]:
    """Return the cotangents of ``linear_in`` under the linear nodes.

    Parameters
    ----------
    nodes
        Nodes that are linear in ``linear_in``; their other operands are in the builder.
    cotangents
        Cotangent of each result that matters.
    env
        What stands in the builder for an operand that is not itself there.

    Notes
    -----
    Contributions are added in the order of the program, so results are reproducible.
    """
    names = env or {}
    dependent = set(linear_in)
    for node in nodes:
        dependent.update(node.outputs)
    pulled: dict[Value, Tracer] = {v: c for v, c in cotangents.items() if c is not None}
    for node in reversed(nodes):
        given = [pulled.get(v) for v in node.outputs]
        if all(c is None for c in given):
            continue
        if node.primitive.transpose is None:
            raise IRError(f"`{node.primitive.name}` has no transpose rule")
        operands = [
            Hole(x.type)
            if isinstance(x, Value) and x in dependent
            else wrap(builder, names.get(x, x))
            for x in node.inputs
        ]
        with builder.at(node.source):
            results = node.primitive.transpose(given, operands, **node.attrs)
        for x, contribution in zip(node.inputs, results, strict=True):
            if contribution is None or not isinstance(x, Value) or x not in dependent:
                continue
            before = pulled.get(x)
            pulled[x] = contribution if before is None else ops.add(before, contribution)
    return {v: pulled[v] for v in linear_in if v in pulled}
