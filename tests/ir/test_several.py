"""Forward mode along several directions: each is what it is alone, for as many nodes as one."""

from __future__ import annotations

import numpy as np

from etp_ir import ops
from etp_ir.builder import Builder
from etp_ir.core import Program
from etp_ir.interpreter import evaluate
from etp_ir.tracer import Tracer, trace
from etp_ir.transforms import jvp
from etp_ir.transforms.several import push_several
from etp_ir.types import F64, TensorType

N = 3


def step(h, w, b):
    return ops.tanh(ops.add(ops.contract(h, w, "i,ij->j"), b)), ops.mul(2.0, b)


TYPES = {"h": TensorType(F64, (N,)), "w": TensorType(F64, (N, N)), "b": TensorType(F64, (N,))}


def several(count: int) -> Program:
    """Tangents of the first result along so many directions of ``h`` and ``w``."""
    program, _ = trace(step, TYPES)
    builder = Builder("several", share=True, float_dtype=F64)
    builder.inputs.extend(program.inputs)
    builder.nodes.extend(program.nodes)
    tangents = {
        program.input(n).value: Tracer(
            builder,
            builder.input(f"d_{n}", TYPES[n].with_shape((count, *TYPES[n].shape)), "input"),
        )
        for n in ("h", "w")
    }
    wanted = [out.value for out in program.outputs]
    found = push_several(builder, program.nodes, tangents, wanted)
    assert list(found) == wanted[:1], "the second result depends on neither"
    return builder.finish([(found[wanted[0]].value, "output(0)")])


def test_each_direction_is_what_it_is_alone():
    rng = np.random.default_rng(0)
    arrays = {n: rng.normal(size=t.shape) for n, t in TYPES.items()}
    moved = {f"d_{n}": rng.normal(size=(4, *TYPES[n].shape)) for n in ("h", "w")}
    (got,) = evaluate(several(4), {**arrays, **moved}).values()
    alone = jvp(trace(step, TYPES)[0], ["h", "w"])
    for k in range(4):
        want = evaluate(alone, {**arrays, **{n: x[k] for n, x in moved.items()}})
        np.testing.assert_allclose(got[k], want["output(d_output(0))"], rtol=1e-12)
    assert np.abs(got[0] - got[1]).max() > 0.01


def test_the_program_does_not_grow_with_the_directions():
    assert len(several(2).nodes) == len(several(50).nodes)
