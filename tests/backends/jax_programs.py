"""Programs for the tests of the JAX backend, and their comparison with the interpreter."""

import numpy as np

from etp_backends.jax import JaxBackend
from etp_ir import ops
from etp_ir.interpreter import evaluate
from etp_ir.primitive import get
from etp_ir.tracer import bind, trace
from etp_ir.types import F32, TensorType

BACKEND = JaxBackend()
TOLERANCE = {"f64": 1e-12, "f32": 2e-5}


def program_of(function, name="p", **types):
    """Return the traced program."""
    return trace(function, types, name=name)[0]


def arrays_for(program, seed=0, scale=0.5):
    """Return random arrays for the inputs of a program."""
    rng = np.random.default_rng(seed)
    return {
        p.name: (scale * rng.standard_normal(p.type.shape)).astype(p.type.dtype.numpy())
        for p in program.inputs
    }


def agree(program, arrays, executable=None):
    """Compare with the interpreter; return the outputs."""
    found = (executable or BACKEND.compile(program))(arrays)
    wanted = evaluate(program, arrays)
    assert list(found) == list(wanted)
    for out in program.outputs:
        a, b = np.asarray(found[out.key]), wanted[out.key]
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        assert np.any(b != 0), f"{out.key} is zero everywhere: the test is vacuous"
        size = max(1.0, float(np.max(np.abs(b))))
        np.testing.assert_allclose(a, b, rtol=0, atol=TOLERANCE.get(out.type.dtype.name, 0) * size)
    return found


def scan(*operands, body, length, consts, carries, reverse=False):
    """Append a loop."""
    return bind(
        get("scan"), *operands,
        body=body, length=length, consts=consts, carries=carries, reverse=reverse,
    )  # fmt: skip


def rnn(T=7, B=4, n=5, dtype=F32):
    """A network, its backward recurrence with the transposed weight, and two gradients."""

    def t(*shape):
        return TensorType(dtype, shape)

    def forward(w, h, x):
        z = ops.tanh(ops.add(bind(get("etp.matmul"), h, w), x))
        new = ops.add(ops.mul(h, 0.9), ops.mul(z, 0.1))
        return new, new

    def backward(w, a, s, d):
        a = ops.mul(ops.add(s, ops.contract(a, w, "bo,io->bi")), d)
        return a, a

    first = program_of(forward, "forward", w=t(n, n), h=t(B, n), x=t(B, n))
    second = program_of(backward, "backward", w=t(n, n), a=t(B, n), s=t(B, n), d=t(B, n))

    def whole(w, h, xs):
        last, hs = scan(w, h, xs, body=first, length=T, consts=1, carries=1)
        end, adjoint = scan(
            w, last, xs, hs, body=second, length=T, consts=1, carries=1, reverse=True
        )
        bias = ops.reduce_sum(adjoint, (0, 1))
        return last, end, ops.contract(hs, adjoint, "tbi,tbo->io"), bias

    return program_of(whole, "rnn", w=t(n, n), h=t(B, n), xs=t(T, B, n))
