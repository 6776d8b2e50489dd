"""The derivative of a result by a weight, as an array over the axes of both that differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import ops
from .builder import Builder
from .core import Program
from .passes import dce
from .tracer import Tracer, replay
from .transforms.batch import batch_program
from .transforms.vjp import vjp
from .types import TensorType


def jacobian(builder: Builder, program: Program, operand: int, own: str, result: str,
             arguments: Sequence[Any]) -> Tracer:  # fmt: skip
    """Return dy/dw for one operand of a program, at its arguments in a builder.

    Parameters
    ----------
    own, result
        One letter for each axis of the operand, and of the result. An element of the operand acts
        on elements of the result that agree with it in the letters that they share.

    Returns
    -------
    Tracer
        Its axes are the letters of the result that the operand lacks, then those of the operand.
    """
    name = program.inputs[operand].name
    backward = vjp(program, [name])
    part = dce(Program(backward.name, backward.inputs, backward.nodes, backward.outputs[-1:]))
    y = program.outputs[0].type
    apart = [i for i, c in enumerate(result) if c not in own]
    shape = tuple(y.shape[i] for i in apart)
    count = int(np.prod(shape, dtype=int))
    cotangents = _units(builder, y, apart, count)
    given = {port.name: x for port, x in zip(program.inputs, arguments, strict=True)}
    ct = next(p.name for p in backward.inputs if p.name not in given)
    whole = batch_program(part, count, {ct: 0}, force=[0])
    (found,) = replay(whole, builder, [given.get(p.name, cotangents) for p in whole.inputs])
    out: Tracer = ops.reshape(found, (*shape, *program.inputs[operand].type.shape))
    return out


def _units(builder: Builder, y: TensorType, apart: Sequence[int], count: int) -> Tracer:
    """Return for each index over some axes of a type the array that is 1 there, and 0 elsewhere."""
    same = ops.eye(builder, count, y.dtype)
    units = ops.reshape(same, (count, *(y.shape[i] for i in apart)))
    found: Tracer = ops.broadcast(units, (count, *y.shape), (0, *(i + 1 for i in apart)))
    return found
