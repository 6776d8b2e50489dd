"""What programs become in JAX: contractions by class, sums, loops."""
# ruff: noqa: E402  (what needs JAX is imported after the test for it)

import warnings
from functools import partial

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from hypothesis import given, settings
from hypothesis import strategies as st

from etp_backends.jax import compiler_options, options
from etp_backends.jax.contract import contract
from etp_backends.jax.hoist import hoist
from etp_backends.jax.lower import rules
from etp_ir import ops
from etp_ir.interpreter import evaluate
from etp_ir.passes import lower
from etp_ir.primitive import REGISTRY, get
from etp_ir.tracer import bind, literal, trace
from etp_ir.types import F32, F64, I32, U32, TensorType
from etp_ir.verify import verify
from tests.backends.jax_programs import BACKEND, agree, arrays_for, program_of, rnn, scan


# -- lowering ----------------------------------------------------------------------------------
def test_every_core_primitive_has_a_rule():
    core = {name for name, p in REGISTRY.items() if p.lower is None}
    assert len(core) > 40
    assert core <= set(rules("cpu"))


@pytest.mark.parametrize("dtype", [F32, F64], ids=str)
def test_loops_forward_and_backward(dtype):
    program = rnn(dtype=dtype)
    agree(program, arrays_for(program))
    assert not jax.config.jax_enable_x64, "double precision must not leak out of the call"


@pytest.mark.parametrize("reverse", [False, True])
def test_nested_loops_with_literals_and_integers(reverse):
    def inner(c, k, x):
        return ops.add(ops.mul(c, 0.5), x), ops.add(k, 1), ops.mul(c, x), 2.5

    t = TensorType(F32, (3,))
    body = program_of(inner, "inner", c=t, k=TensorType(I32), x=t)

    def outer(a, s, rows):
        c, k, stack, halves = scan(
            s, literal(0, I32), rows, body=body, length=4, consts=0, carries=2, reverse=not reverse
        )
        total = ops.add(ops.reduce_sum(stack, (0,)), ops.mul(a, c))
        grown = ops.add(total, ops.broadcast(ops.cast(k, F32), (3,), ()))
        return grown, ops.reduce_sum(halves, (0,)), stack

    program_outer = trace(outer, {"a": t, "s": t, "rows": TensorType(F32, (4, 3))}, name="outer")[0]

    def whole(a, s, x):
        return scan(a, s, x, body=program_outer, length=2, consts=1, carries=1, reverse=reverse)

    program = program_of(whole, a=t, s=t, x=TensorType(F32, (2, 4, 3)))
    agree(program, arrays_for(program))


def test_random_bits_are_the_same_words():
    program = program_of(
        lambda key: [bind(get("random_bits"), key, shape=s) for s in ((), (5,), (3, 4), (257,))],
        key=TensorType(U32, (2,)),
    )
    keys = np.asarray([0x13198A2E, 0xFFFFFFFE], np.uint32)
    found = agree(program, {"key": keys})
    assert len(np.unique(np.asarray(found["output(3)"]))) == 257


@st.composite
def contractions(draw):
    letters = draw(st.permutations("abcde"))
    x = "".join(letters[: draw(st.integers(0, 4))])
    y = "".join(draw(st.permutations("abcde"))[: draw(st.integers(0, 4))])
    seen = sorted(set(x + y))
    out = "".join(draw(st.permutations(seen))[: draw(st.integers(0, len(seen)))])
    sizes = {c: draw(st.sampled_from((1, 3, 9))) for c in "abcde"}
    return f"{x},{y}->{out}", [sizes[c] for c in x], [sizes[c] for c in y]


@settings(max_examples=40)
@given(contractions(), st.booleans())
def test_any_contraction(case, cpu):
    spec, left, right = case
    rng = np.random.default_rng(1)
    x, y = (rng.integers(-3, 4, shape).astype(np.float32) for shape in (left, right))
    # Small whole numbers: every order of summation gives the same float.
    found = jax.jit(partial(contract, spec=spec, cpu=cpu))(x, y)
    np.testing.assert_array_equal(np.asarray(found), np.einsum(spec, x, y))


@pytest.mark.parametrize(
    ("spec", "x", "y"),
    [
        ("bi,bo->io", (16, 256), (16, 300)),
        ("tbi,tbo->io", (20, 16, 64), (20, 16, 48)),
        ("bo,bio->io", (64, 64), (64, 32, 64)),
        ("bi,bio->bo", (64, 64), (64, 64, 64)),
        ("bo,bio->i", (64, 64), (64, 32, 64)),
        ("tbi,tbi->i", (40, 16, 64), (40, 16, 64)),
        ("bnst,bntu->bnsu", (64, 64, 3, 3), (64, 64, 3, 3)),
        ("bstn,bitn->bisn", (32, 2, 2, 128), (32, 8, 2, 128)),
        ("ij,bj->ib", (3, 3), (4097, 3)),
    ],
)
def test_contractions_of_the_learning_rules_at_size(spec, x, y):
    program = program_of(
        lambda x, y: ops.contract(x, y, spec), x=TensorType(F32, x), y=TensorType(F32, y)
    )
    agree(program, arrays_for(program))


def test_update_and_gradient_of_a_trace_copy_nothing():
    B, n = 16, 64

    def step(D, e, x, u, ell):
        e = ops.add(ops.contract(D, e, "bo,bio->bio"), ops.contract(x, u, "bi,bo->bio"))
        return e, ops.contract(ell, e, "bo,bio->io")

    t = TensorType(F32, (B, n))
    program = program_of(step, D=t, e=TensorType(F32, (B, n, n)), x=t, u=t, ell=t)
    executable = BACKEND.compile(program, donate=["e"])
    agree(program, arrays_for(program), executable)
    memory = executable.memory()
    trace_bytes = 4 * B * n * n
    assert memory.aliased == trace_bytes
    assert memory.temporaries < trace_bytes // 4


def test_a_trace_read_and_then_replaced_in_a_loop_is_not_copied():
    B, n, T = 16, 64, 5
    t = TensorType(F32, (B, n))

    def step(e, g, D, u, ell):
        g = ops.add(g, ops.contract(ell, e, "bo,bio->io"))
        return ops.add(ops.contract(D, e, "bo,bio->bio"), ops.contract(u, u, "bi,bo->bio")), g

    e, g = TensorType(F32, (B, n, n)), TensorType(F32, (n, n))
    body = program_of(step, "step", e=e, g=g, D=t, u=t, ell=t)
    program = program_of(
        lambda e, g, *rows, **more: scan(
            e, g, *rows, *more.values(), body=body, length=T, consts=0, carries=2
        ),
        e=e, g=g, **{k: TensorType(F32, (T, B, n)) for k in ("D", "u", "ell")},
    )  # fmt: skip
    executable = BACKEND.compile(program, donate=["e", "g"])
    agree(program, arrays_for(program), executable)
    assert executable.memory().temporaries < 4 * B * n * n // 4


# -- sums that XLA's library fusion gets wrong -------------------------------------------------
def test_the_library_fusion_is_off():
    x = TensorType(F32, (4096, 3))
    program = program_of(lambda x, y: ops.reduce_sum(ops.mul(x, y), (1,)), x=x, y=x)
    executable = BACKEND.compile(program)
    agree(program, arrays_for(program))
    assert executable.compiler_options == compiler_options("cpu")
    assert "ynn" not in executable.compiled().as_text()


@pytest.mark.parametrize("rows", [4096, 16385, 32769])
@pytest.mark.parametrize("dtype", [F32, F64], ids=str)
def test_sums_of_products_at_size(rows, dtype):
    def squares(x, w):
        z = ops.contract(w, x, "ij,bj->ib")
        return ops.reduce_sum(ops.mul(z, z), (0,)), ops.reduce_sum(ops.tanh(z), (1,))

    program = program_of(squares, x=TensorType(dtype, (rows, 3)), w=TensorType(dtype, (3, 3)))
    agree(program, arrays_for(program))


def test_the_sizes_above_are_those_that_fail_without_the_option():
    if jax.__version__ != "0.10.2" or jax.default_backend() != "cpu" or not compiler_options():
        pytest.skip("only jaxlib 0.10.2 compiles it wrongly on a CPU")
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(32769, 3)).astype("f"), rng.normal(size=(3, 3)).astype("f")

    def squares(x, w):
        z = jax.lax.dot_general(w, x, (((1,), (1,)), ((), ())))
        return (z * z).sum(0)

    wanted = ((x.astype(float) @ w.T.astype(float)) ** 2).sum(1)
    wrong = np.asarray(jax.jit(squares)(x, w))
    right = np.asarray(jax.jit(squares, compiler_options=compiler_options())(x, w))
    assert np.max(np.abs(wrong - wanted)) > 1e-2 * wanted.max()
    assert np.max(np.abs(right - wanted)) < 1e-5 * wanted.max()


def test_somebody_elses_jit_is_warned_about_once(monkeypatch):
    if not compiler_options():
        pytest.skip("this release has nothing to switch off here")
    monkeypatch.setattr(options, "version", lambda _: "0.10.2")
    options.warn_about_foreign_jit.cache_clear()
    program = program_of(lambda x: ops.neg(x), x=TensorType(F32, (2,)))
    function = BACKEND.compile(program).function
    with pytest.warns(RuntimeWarning, match="compiler_options=etp_backends.jax.compiler_options"):
        jax.jit(function)({"x": np.ones(2, "f")})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        jax.jit(function)({"x": np.ones(2, "f")})


# -- constants of a loop -----------------------------------------------------------------------
def scans(program):
    return [node for node in program.walk() if node.primitive.name == "scan"]


def test_transposed_weights_are_laid_out_before_the_loop():
    program = lower(rnn(dtype=F64))
    moved = hoist(program)
    verify(moved)
    forward, backward = scans(moved)
    assert (forward.attrs["consts"], backward.attrs["consts"]) == (1, 2)
    specs = [n.attrs["spec"] for n in backward.attrs["body"].nodes if "spec" in n.attrs]
    assert specs == ["bo,oi->bi"]
    arrays = arrays_for(program)
    for key, wanted in evaluate(program, arrays).items():
        np.testing.assert_allclose(evaluate(moved, arrays)[key], wanted, rtol=1e-12)
    assert hoist(moved) == moved


def test_an_expression_of_weights_moves_with_its_transpose_out_of_nested_loops():
    t, w = TensorType(F64, (2, 3)), TensorType(F64, (3, 3))

    def step(w, mask, a, x):
        masked = ops.mul(w, mask)
        a = ops.add(ops.contract(a, masked, "bo,io->bi"), ops.contract(x, masked, "bi,io->bo"))
        return a, ops.reduce_sum(a, (0,))

    inner = program_of(step, "inner", w=w, mask=w, a=t, x=t)

    def rows(w, mask, a, xs):
        return scan(w, mask, a, xs, body=inner, length=4, consts=2, carries=1)

    middle = program_of(rows, "middle", w=w, mask=w, a=t, xs=TensorType(F64, (4, 2, 3)))
    program = program_of(
        lambda w, mask, a, xs: scan(w, mask, a, xs, body=middle, length=3, consts=2, carries=1),
        w=w, mask=w, a=t, xs=TensorType(F64, (3, 4, 2, 3)),
    )  # fmt: skip
    moved = hoist(program)
    verify(moved)
    assert [n.primitive.name for n in moved.nodes] == ["mul", "permute", "scan"]
    assert [n.primitive.name for n in scans(moved)[0].attrs["body"].nodes] == ["scan"]
    agree(program, arrays_for(program))
