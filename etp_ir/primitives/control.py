"""Structured repetition: ``scan`` runs a region once per element of its sliced operands."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from attrs import evolve

from ..core import Node, Operand, Program, Value
from ..errors import TypeRuleError
from ..primitive import Primitive, get, register
from ..tracer import bind
from ..types import TensorType
from .base import axis_to_front, narrowed
from .loop_rules import scan_jvp, scan_linearize, scan_transpose

# Operands of a scan: `consts` loop-invariant values, `carries` values handed from step to step,
# then arrays sliced along axis 0. Results: the final carries, then the stacked results.


def _infer(
    *operands: Operand, body: Program, length: int, consts: int, carries: int, reverse: bool
) -> tuple[TensorType, ...]:
    if len(operands) != len(body.inputs):
        raise TypeRuleError(
            f"`scan` got {len(operands)} operands for a region of {len(body.inputs)} inputs"
        )
    for i, (x, port) in enumerate(zip(operands, body.inputs, strict=True)):
        sliced = i >= consts + carries
        expected = port.type.with_shape((length, *port.type.shape)) if sliced else port.type
        if x.type != expected:
            raise TypeRuleError(
                f"`scan` operand {i} is {x.type}, its region input %{port.name} needs {expected}"
            )
    outs = body.outputs
    if len(outs) < carries:
        raise TypeRuleError(f"`scan` has {carries} carries but its region returns {len(outs)}")
    for i in range(carries):
        if outs[i].type != body.inputs[consts + i].type:
            raise TypeRuleError(
                f"`scan` carry %{body.inputs[consts + i].name} starts as "
                f"{body.inputs[consts + i].type} and comes back as {outs[i].type}"
            )
    return tuple(
        o.type if i < carries else o.type.with_shape((length, *o.type.shape))
        for i, o in enumerate(outs)
    )


def _reference(
    *arrays: Any, body: Program, length: int, consts: int, carries: int, reverse: bool
) -> Any:
    from ..interpreter import run

    fixed, carry = list(arrays[:consts]), list(arrays[consts : consts + carries])
    sliced = arrays[consts + carries :]
    stacks = [
        np.zeros((length, *o.type.shape), o.type.dtype.numpy()) for o in body.outputs[carries:]
    ]
    for t in range(length - 1, -1, -1) if reverse else range(length):
        results = run(body, [*fixed, *carry, *(x[t] for x in sliced)])
        carry = results[:carries]
        for stack, row in zip(stacks, results[carries:], strict=True):
            stack[t] = row
    return (*carry, *stacks)


def _batch(
    operands: Any, axes: Any, size: int, *,
    body: Program, length: int, consts: int, carries: int, reverse: bool,
) -> Any:  # fmt: skip
    from ..transforms.batch import batch_program, spread

    flags: list[bool] = [a is not None for a in axes]
    while True:
        given = {p.name: 0 for p, f in zip(body.inputs, flags, strict=True) if f}
        batched, out_flags = batch_program(body, size, given, which_outputs=True)
        grown = [
            f or (consts <= i < consts + carries and out_flags[i - consts])
            for i, f in enumerate(flags)
        ]
        if grown == flags:
            break
        flags = grown
    batched = batch_program(
        body, size, given, force={i for i in range(carries) if flags[consts + i]}
    )
    moved: list[Any] = []
    for i, (x, axis) in enumerate(zip(operands, axes, strict=True)):
        place = 1 if i >= consts + carries else 0
        if axis is None:
            moved.append(spread(x, size, place) if flags[i] else x)
        else:
            front = axis_to_front(x, axis)
            moved.append(axis_to_front(front, 1) if place else front)
    outs = bind(
        get("scan"), *moved,
        body=batched, length=length, consts=consts, carries=carries, reverse=reverse,
    )  # fmt: skip
    outs = list(outs) if isinstance(outs, tuple) else [outs]
    out_axes = [
        (0 if i < carries else 1) if (flags[consts + i] if i < carries else out_flags[i]) else None
        for i in range(len(outs))
    ]
    return outs, out_axes


def _prune(node: Node, live: Collection[Value]) -> Node:
    """Drop what no live result depends on: results, carries, operands and nodes of the body."""
    from ..passes.dce import dce
    from ..passes.rewrite import count_uses

    body, consts, carries = node.attrs["body"], node.attrs["consts"], node.attrs["carries"]
    keep = {i for i, v in enumerate(node.outputs) if v in live}
    while True:
        outputs = tuple(out for i, out in enumerate(body.outputs) if i in keep)
        slim = dce(evolve(body, outputs=outputs))
        read = count_uses(slim)
        # A carry that is read in the body must be handed on, so its own update is needed too.
        grown = keep | {i for i in range(carries) if read[body.inputs[consts + i].value]}
        if grown == keep:
            break
        keep = grown
    kept = [
        i for i, port in enumerate(body.inputs)
        if (i - consts in keep if consts <= i < consts + carries else read[port.value])
    ]  # fmt: skip
    attrs = {
        **node.attrs,
        "body": evolve(slim, inputs=tuple(body.inputs[i] for i in kept)),
        "consts": sum(i < consts for i in kept),
        "carries": sum(consts <= i < consts + carries for i in kept),
    }
    return narrowed(node, attrs, kept, keep)


register(
    Primitive(
        name="scan",
        infer=_infer,
        reference=_reference,
        jvp=scan_jvp,
        linearize=scan_linearize,
        transpose=scan_transpose,
        batch=_batch,
        prune=_prune,
    )
)
