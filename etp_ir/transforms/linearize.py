"""The linear part of a computation at a point: push tangents, then keep what depends on them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from attrs import frozen

from ..builder import Builder
from ..core import Literal, Node, Operand, Value
from ..tracer import Tracer
from .jvp import Edge, push


@frozen
class Linear:
    """Nodes that are linear in the seeds, with the tangents they give.

    Attributes
    ----------
    seeds
        For each value differentiated, the symbol that stands for its tangent.
    nodes
        The linear nodes, in order of execution.
    tangents
        For each requested value its tangent, or None where it is zero.
    """

    seeds: dict[Value, Value]
    nodes: tuple[Node, ...]
    tangents: dict[Value, Value | None]


def linearize(
    builder: Builder,
    nodes: Sequence[Node],
    wrt: Sequence[Value],
    outputs: Sequence[Operand],
    *,
    taps: Sequence[Value] = (),
    detach: Collection[Edge] = (),
    env: Mapping[Operand, Operand] | None = None,
) -> Linear:
    """Return the linear map from tangents of ``wrt`` to tangents of ``outputs``.

    ``taps`` are computed values that also get a seed, added to what flows into them: their
    cotangent is the total derivative after them, and no path through them is cut.
    Non-linear nodes (the coefficients) go to the builder; linear ones are returned, not kept.
    Arguments are those of `push`.
    """
    seeds = {v: Value(v.type, f"d_{v.hint}" if v.hint else "") for v in (*wrt, *taps)}
    before = len(builder.nodes)
    known = push(
        builder, nodes, {v: Tracer(builder, seeds[v]) for v in wrt},
        perturb={v: Tracer(builder, seeds[v]) for v in taps}, detach=detach, env=env,
        split=True,
    )  # fmt: skip
    linear: list[Node] = []
    kept: list[Node] = []
    dependent: set[Value] = set(seeds.values())
    for node in builder.nodes[before:]:
        if any(isinstance(x, Value) and x in dependent for x in node.inputs):
            linear.append(node)
            dependent.update(node.outputs)
        else:
            kept.append(node)
    builder.nodes[before:] = kept
    builder.forget(linear)
    tangents = {}
    for out in outputs:
        if not isinstance(out, Literal):
            found = known.get(out)
            tangents[out] = found.value if found is not None else None
    return Linear(seeds, tuple(linear), tangents)
