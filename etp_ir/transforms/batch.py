"""Batching: a program for one example becomes a program for many, axis by axis."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from .. import ops
from ..builder import Builder
from ..core import Literal, Node, Operand, Output, Program, Value
from ..errors import IRError, NotSupportedError, compose
from ..primitives.base import axis_to_front
from ..tracer import Tracer, wrap


def spread(x: Any, size: int, axis: int = 0) -> Any:
    """Return ``x`` repeated along a new axis."""
    shape = (*x.shape[:axis], size, *x.shape[axis:])
    return ops.broadcast(x, shape, [i for i in range(len(shape)) if i != axis])


def batch_program(
    program: Program,
    size: int,
    axes: Mapping[str, int],
    *,
    total: Collection[str] = (),
    force: Collection[int] = (),
    which_outputs: bool = False,
    examples: bool = False,
    name: str | None = None,
) -> Any:
    """Return the program for ``size`` examples.

    Parameters
    ----------
    axes
        Position of the new axis for each input that has one; other inputs are shared.
    total
        Kinds of roles whose outputs are summed over the examples, for example ``grad``.
    force
        Indices of outputs that get the new axis even if no batched input reaches them.
    which_outputs
        Also return, for each output, whether it has the new axis.
    examples
        Whether the new axis is that of the examples of a batch, over which `batch_mean` averages.

    Raises
    ------
    NotSupportedError
        If examples meet inside of a loop or a choice.

    Notes
    -----
    The new axis of an output is the first. No rule couples two examples but ``across``.
    """
    builder = Builder(name or program.name, share=True)
    env: dict[Operand, tuple[Any, int | None]] = {}
    for port in program.inputs:
        axis = axes.get(port.name)
        shape = port.type.shape
        type = port.type
        if axis is not None:
            type = type.with_shape((*shape[:axis], size, *shape[axis:]))
        env[port.value] = (Tracer(builder, builder.input(port.name, type, port.role)), axis)

    def look(x: Operand) -> tuple[Any, int | None]:
        return (x.value, None) if isinstance(x, Literal) else env[x]

    for node in program.nodes:
        found = [look(x) for x in node.inputs]
        if node.primitive.positions == "elementwise":
            # A number alone would lose its type where it stands beside booleans only.
            found = [
                (x, None) if isinstance(x, Literal) else f
                for x, f in zip(node.inputs, found, strict=True)
            ]
        with builder.at(node.source):
            if examples and (node.primitive.across is not None or node.regions):
                _check_regions(node)
            if examples and node.primitive.across is not None:
                ((x, axis),) = found
                if axis is not None:
                    x = node.primitive.across(x, axis, size, **node.attrs)
                    rename(builder, x, node.output.hint)
                env[node.output] = (x, None)
                continue
            if all(axis is None for _, axis in found):
                operands = [x if isinstance(x, Literal) else env[x][0].value for x in node.inputs]
                values = builder.emit(
                    node.primitive, operands, dict(node.attrs), node.outputs[0].hint
                )
                outs = [(wrap(builder, v), None) for v in values]
            else:
                if node.primitive.batch is None:
                    raise IRError(f"`{node.primitive.name}` has no batch rule")
                results, out_axes = node.primitive.batch(
                    [x for x, _ in found], [a for _, a in found], size, **node.attrs
                )
                outs = list(zip(results, out_axes, strict=True))
                for (result, _), value in zip(outs, node.outputs, strict=True):
                    rename(builder, result, value.hint)
        env.update(zip(node.outputs, outs, strict=True))
    ports: list[Any] = []
    flags: list[bool] = []
    for i, out in enumerate(program.outputs):
        ports.append((_finish(builder, out, look(out.value), size, total, i in force), out.role))
        flags.append(look(out.value)[1] is not None)
    result = builder.finish(ports)
    return (result, flags) if which_outputs else result


def _check_regions(node: Node) -> None:
    """Refuse examples that meet where each may take another branch, or more rounds."""
    for region in node.regions:
        for inner in region.walk():
            if inner.primitive.across is not None:
                source = inner.source or node.source
                raise NotSupportedError(
                    compose(f"`{inner.primitive.name}` inside of a loop or a choice, where each "
                            "example goes its own way",
                            where=f"traced at {source}" if source else "",
                            how="compute it before the loop or the choice")
                )  # fmt: skip


def _finish(
    builder: Builder, out: Output, found: tuple[Any, int | None], size: int,
    total: Collection[str], forced: bool,
) -> Operand:  # fmt: skip
    """Return the operand to output: summed, moved to the front, or repeated."""
    x, axis = found
    if not isinstance(x, Tracer):
        if not (forced or out.role.kind in total):
            return out.value
        x = ops.full(builder, (), x, out.type.dtype)
    if out.role.kind in total:
        return (ops.mul(x, float(size)) if axis is None else ops.reduce_sum(x, (axis,))).value
    if axis is None:
        return (spread(x, size) if forced else x).value
    return axis_to_front(x, axis).value


def rename(builder: Builder, result: Any, hint: str) -> None:
    """Give the node that made ``result`` the hint of the value it stands for."""
    if hint and isinstance(result, Tracer) and not result.value.hint:
        object.__setattr__(result.value, "hint", hint)


__all__ = ["Value", "batch_program", "spread"]
