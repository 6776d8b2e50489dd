"""Which weights reach which part of a model's output, now or at a later step."""

from __future__ import annotations

from etp_ir import ops
from etp_ir.builder import Builder
from etp_ir.core import Operand, Program
from etp_ir.passes.simplify import simplify
from etp_ir.tracer import Tracer, operand, replay, unwrap


def reaching(program: Program, start: int, stop: int) -> set[str]:
    """Return the parameters that elements ``[start:stop]`` of the output depend on.

    Parameters
    ----------
    program
        One step of a model, with a vector as its output.
    """
    b = Builder(program.name)
    given = [Tracer(b, b.input(p.name, p.type, p.role)) for p in program.inputs]
    results = replay(program, b, given)
    part = ops.slice_(results[0], (start,), (stop,), (1,))
    pairs = [
        (operand(b, unwrap(r), o.type.dtype), o.role)
        for r, o in zip([part, *results[1:]], program.outputs, strict=True)
    ]
    # Where the output is joined of parts, the slice of one part no longer leads to the others.
    cut = simplify(b.finish(pairs))
    after = {o.role.of[0]: o.value for o in cut.outputs if o.role.kind in ("state", "buffer")}
    found: set[Operand] = {cut.outputs[0].value}
    while True:
        size = len(found)
        for node in reversed(cut.nodes):
            if node.primitive.jvp is not None and not found.isdisjoint(node.outputs):
                found.update(node.inputs)
        found.update(after[p.name] for p in cut.inputs if p.value in found and p.name in after)
        if len(found) == size:
            return {p.name for p in cut.inputs_of("param") if p.value in found}
