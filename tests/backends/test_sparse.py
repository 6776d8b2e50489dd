"""Sparse products on the backends: in loops, in blocks, in every element type."""

import numpy as np
import pytest

import etp_backends
from etp_backends.array.nonzeros import Nonzeros
from etp_backends.numpy.backend import NONZEROS
from etp_ir import Builder, Tracer, ops, trace
from etp_ir.primitive import get
from etp_ir.tracer import bind
from etp_ir.types import F16, F32, F64, I32, TensorType
from tests.backends.conformance import check_program
from tests.ir.samples import places

N_IN, N_OUT, COUNT = 5, 7, 12
ROWS, COLS = places(COUNT, N_IN, N_OUT, "cols")


def t(*shape, dtype=F64):
    return TensorType(dtype, shape)


def arrays(program, seed=0, **given):
    rng = np.random.default_rng(seed)
    return {
        p.name: given[p.name] if p.name in given
        else rng.standard_normal(p.type.shape).astype(p.type.dtype.numpy())
        for p in program.inputs
    }  # fmt: skip


def body(kinds):
    """One step with a product, its transpose and a sample; the places are of any kind of input."""
    b = Builder("body", float_dtype=F64)
    rows, cols = (Tracer(b, b.input(n, t(COUNT, dtype=I32), kinds[n])) for n in ("rows", "cols"))
    h = Tracer(b, b.input("h", t(2, N_IN), "carry"))
    w = Tracer(b, b.input("w", t(COUNT), "slot"))
    y = ops.tanh(ops.sparse_contract(h, w, rows, cols, N_OUT, "cols"))
    back = ops.sparse_contract(y, w, cols, rows, N_IN, "rows")
    sample = ops.sparse_sample(h, y, rows, cols, 0, "cols")
    return b.finish([(ops.tanh(back).value, "carry"), (sample.value, "stack")])


def test_places_kept_by_a_loop(backend):
    def function(rows, cols, h, w):
        step = body({"rows": "const", "cols": "const"})
        return bind(get("scan"), rows, cols, h, w, body=step, length=4, consts=2, carries=1,
                    reverse=False)  # fmt: skip

    types = {"rows": t(COUNT, dtype=I32), "cols": t(COUNT, dtype=I32), "h": t(2, N_IN),
             "w": t(4, COUNT)}  # fmt: skip
    program, _ = trace(function, types, outputs=["h", "sample"])
    check_program(backend, program, arrays(program, rows=ROWS, cols=COLS))


def test_places_that_differ_from_step_to_step(backend):
    """A pattern for each step: what is kept of the one must not be used for the other."""
    b = Builder("steps", float_dtype=F64)
    rows, cols = (Tracer(b, b.input(n, t(3, COUNT, dtype=I32), "input")) for n in ("rows", "cols"))
    h = Tracer(b, b.input("h", t(2, N_IN), "input"))
    w = Tracer(b, b.input("w", t(3, COUNT), "input"))
    inner = Builder("body", float_dtype=F64)
    state = Tracer(inner, inner.input("h", t(2, N_IN), "carry"))
    r, c = (Tracer(inner, inner.input(n, t(COUNT, dtype=I32), "slot")) for n in ("r", "c"))
    data = Tracer(inner, inner.input("w", t(COUNT), "slot"))
    y = ops.tanh(ops.sparse_contract(state, data, r, c, N_OUT, "cols"))
    back = ops.sparse_contract(y, data, c, r, N_IN, "none")
    step = inner.finish([(ops.tanh(back).value, "carry"), (y.value, "stack")])
    outs = bind(get("scan"), h, rows, cols, w, body=step, length=3, consts=0, carries=1,
                reverse=False)  # fmt: skip
    program = b.finish([(outs[0].value, "output(0)"), (outs[1].value, "output(1)")])
    given = [places(COUNT, N_IN, N_OUT, "cols") for _ in range(3)]
    stacked = {n: np.stack([g[k] for g in given]) for k, n in enumerate(("rows", "cols"))}
    check_program(backend, program, arrays(program, **stacked))


def products(lead, kept, dtype=F64):
    def function(x, y, w, rows, cols):
        return (
            ops.sparse_contract(x, w, rows, cols, N_OUT, "cols"),
            ops.sparse_contract(y, w, cols, rows, N_IN, "rows"),
            ops.sparse_contract(x, w, rows, cols, N_OUT, "none"),
            ops.sparse_sample(x, y, rows, cols, kept, "cols"),
        )

    index = t(COUNT, dtype=I32)
    types = {"x": t(*lead, N_IN, dtype=dtype), "y": t(*lead, N_OUT, dtype=dtype),
             "w": t(COUNT, dtype=dtype), "rows": index, "cols": index}  # fmt: skip
    return trace(function, types)[0]


SHAPES = [((), 0), ((3,), 0), ((3,), 1), ((2, 3), 1), ((2, 3), 0), ((0, 3), 1), ((3, 0), 1)]


@pytest.mark.parametrize("dtype", [F16, F32, F64])
@pytest.mark.parametrize(("lead", "kept"), SHAPES)
def test_element_types_and_leading_axes(backend, lead, kept, dtype):
    if dtype is F16 and backend.name == "strict":
        pytest.skip("the standard has no half precision")
    program = products(lead, kept, dtype)
    check_program(backend, program, arrays(program, rows=ROWS, cols=COLS))


@pytest.mark.parametrize(("lead", "kept"), SHAPES)
def test_blocks_on_numpy(lead, kept, monkeypatch):
    few = Nonzeros(NONZEROS.xp, NONZEROS.matrices, NONZEROS.take, block=7)
    monkeypatch.setattr("etp_backends.numpy.backend.NONZEROS", few)
    program = products(lead, kept)
    check_program(etp_backends.get("numpy"), program, arrays(program, rows=ROWS, cols=COLS))


@pytest.mark.parametrize("block", [1, 30, 10**9])
@pytest.mark.parametrize(("lead", "kept"), SHAPES)
def test_blocks_on_jax(lead, kept, block, monkeypatch):
    jax = pytest.importorskip("jax")
    monkeypatch.setattr("etp_backends.jax.sparse.SPREAD", block)
    monkeypatch.setattr("etp_backends.jax.sparse.SAMPLED", block)
    program = products(lead, kept)
    with jax.enable_x64(True):
        check_program(etp_backends.get("jax"), program, arrays(program, rows=ROWS, cols=COLS))


def test_numpy_begins_a_pattern_once_for_all_steps():
    def function(rows, cols, h, w):
        step = body({"rows": "const", "cols": "const"})
        return bind(get("scan"), rows, cols, h, w, body=step, length=4, consts=2, carries=1,
                    reverse=False)  # fmt: skip

    types = {"rows": t(COUNT, dtype=I32), "cols": t(COUNT, dtype=I32), "h": t(2, N_IN),
             "w": t(4, COUNT)}  # fmt: skip
    program, _ = trace(function, types, outputs=["h", "sample"])
    text = etp_backends.get("numpy").compile(program).source.text
    lines = text.splitlines()
    begun = [i for i, line in enumerate(lines) if "nonzeros.pointer" in line]
    (step,) = (i for i, line in enumerate(lines) if "def body_step" in line)
    assert len(begun) == 1
    assert begun[0] < step
