"""Inputs that are the same at all steps of a sequence: given for one, not repeated for each."""

from __future__ import annotations

from collections.abc import Collection

from etp_ir import ops
from etp_ir.builder import Builder
from etp_ir.core import Operand, Program
from etp_ir.passes.simplify import simplify
from etp_ir.tracer import Tracer, copy_nodes


def held_still(program: Program, names: Collection[str]) -> Program:
    """Return the program of a sequence whose named inputs are given for one step, (B, ...).

    What depends on them alone is computed once, before the loop over steps.
    """
    b = Builder(program.name, share=True)
    env: dict[Operand, Operand] = {}
    for port in program.inputs:
        shape = port.type.shape
        if port.name in names:
            one = Tracer(b, b.input(port.name, port.type.with_shape(shape[1:]), port.role))
            env[port.value] = ops.broadcast(one, shape, range(1, len(shape))).value
        else:
            env[port.value] = b.input(port.name, port.type, port.role)
    copy_nodes(program.nodes, b, env)
    return simplify(b.finish([(env.get(o.value, o.value), o.role) for o in program.outputs]))
