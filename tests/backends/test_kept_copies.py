"""Copies made before a loop survive every step of it."""

import numpy as np

from etp_backends.registry import get
from etp_ir import ops, trace
from etp_ir.interpreter import evaluate
from etp_ir.loop import Loop
from etp_ir.primitive import get as get_primitive
from etp_ir.tracer import bind
from etp_ir.types import F64, TensorType


def test_a_copy_made_before_a_loop_is_not_overwritten_inside():
    """The body frees arrays of the size of the copy before it first needs the copy."""

    def function(x, w, h):
        loop = Loop(x.builder, "body", 20, False)
        a = loop.add("const", w, w.type, "w")
        state = loop.add("carry", h, h.type, "h")
        row = loop.add("slot", x, TensorType(F64, (3,)), "x")
        outer = ops.tanh(ops.contract(row, state, "i,bio->bio"))
        doubled = bind(get_primitive("cumsum"), outer, axis=2, reverse=False)
        tripled = bind(get_primitive("cumsum"), doubled, axis=2, reverse=False)
        small = ops.reduce_sum(ops.add(ops.mul(doubled, outer), tripled), (1, 2))
        new = ops.contract(ops.contract(small, row, "b,i->bi"), a, "bi,zio->bzo")
        key = loop.hand(state, ops.tanh(ops.reshape(new, (3, 3, 9))))
        return loop.run()[key]

    types = {"x": (20, 3), "w": (9, 3, 3), "h": (3, 3, 9)}
    p, _ = trace(function, {k: TensorType(F64, s) for k, s in types.items()})
    rng = np.random.default_rng(0)
    given = {k: rng.standard_normal(s) for k, s in types.items()}
    found = get("numpy").compile(p)(given)
    for key, expected in evaluate(p, given).items():
        assert np.abs(expected).max() > 0.1
        np.testing.assert_allclose(found[key], expected, rtol=1e-12)
