"""The JAX backend: lowering, compilation, donation, precision, derivatives."""

import pickle
import warnings
from functools import partial

import numpy as np
import pytest

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from etp_backends.jax import JaxBackend, compiler_options, options  # noqa: E402
from etp_backends.jax.contract import contract  # noqa: E402
from etp_backends.jax.hoist import hoist  # noqa: E402
from etp_backends.jax.lower import rules  # noqa: E402
from etp_ir import IRError, ShapeError, ops  # noqa: E402
from etp_ir.interpreter import evaluate  # noqa: E402
from etp_ir.passes import lower  # noqa: E402
from etp_ir.primitive import REGISTRY, get  # noqa: E402
from etp_ir.tracer import bind, literal, trace  # noqa: E402
from etp_ir.transforms import vjp  # noqa: E402
from etp_ir.types import BF16, F16, F32, F64, I32, U32, TensorType  # noqa: E402
from etp_ir.verify import verify  # noqa: E402

BACKEND = JaxBackend()
TOLERANCE = {"f64": 1e-12, "f32": 2e-5}


def program_of(function, name="p", **types):
    return trace(function, types, name=name)[0]


def arrays_for(program, seed=0, scale=0.5):
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


# -- lowering --------------------------------------------------------------------------------
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


# -- sums that XLA's library fusion gets wrong -----------------------------------------------
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


# -- constants of a loop ---------------------------------------------------------------------
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


# -- compilation -----------------------------------------------------------------------------
def test_no_call_after_the_first_compiles():
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, *_, **__: compiled.append(event) if "backend_compile" in event else None
    )
    program = program_of(
        lambda x, s, k: (ops.mul(x, ops.broadcast(s, (3,), ())), ops.add(k, 1)),
        x=TensorType(F32, (3,)), s=TensorType(F32), k=TensorType(I32),
    )  # fmt: skip
    executable = BACKEND.compile(program)
    x = np.asarray([1.0, 2.0, 3.0], np.float32)
    first = executable({"x": x, "s": 2.0, "k": 4})
    assert executable.compilations == 1
    assert compiled, "the listener hears nothing"
    variants = [
        {"x": jnp.asarray(x), "s": jnp.asarray(2.0), "k": jnp.asarray(4)},
        {"x": x.tolist(), "s": np.float64(2.0), "k": np.int64(4)},
        {"x": x.astype(np.float64), "s": np.float32(2.0), "k": np.int32(4)},
        {"x": first["output(0)"], "s": 1.0, "k": first["output(1)"]},
    ]
    executable(variants[0])  # conversions of weak types are programs of their own
    compiled.clear()
    for arrays in variants:
        out = executable(arrays)
        np.testing.assert_array_equal(np.asarray(out["output(0)"]), 2 * x)
    executable.memory()
    assert executable.compilations == 1
    assert not compiled


def test_double_precision_compiles_once_whatever_the_configuration():
    program = rnn(T=3, dtype=F64)
    executable = BACKEND.compile(program)
    arrays = arrays_for(program)
    once = executable(arrays)
    agree(program, arrays, executable)
    agree(program, {k: BACKEND.asarray(v) for k, v in arrays.items()}, executable)
    executable({**arrays, "h": once["output(0)"]})
    assert executable.compilations == 1


@pytest.mark.parametrize(("dtype", "tolerance"), [(F16, 2e-3), (BF16, 2e-2)], ids=str)
def test_half_precision(dtype, tolerance):
    x, w = TensorType(dtype, (4, 8)), TensorType(dtype, (8, 3))
    program = program_of(
        lambda x, w: (ops.tanh(ops.contract(x, w, "bi,io->bo")), ops.reduce_sum(x, (0,))), x=x, w=w
    )
    arrays = arrays_for(program)
    found = BACKEND.compile(program)(arrays)
    x, w = (arrays[k].astype(np.float32) for k in "xw")
    for key, wanted in (("output(0)", np.tanh(x @ w)), ("output(1)", x.sum(0))):
        assert found[key].dtype == dtype.numpy()
        np.testing.assert_allclose(np.asarray(found[key], np.float32), wanted, atol=tolerance)


# -- donation --------------------------------------------------------------------------------
def test_donated_arrays_are_written_in_place():
    t = TensorType(F32, (64,))
    program = program_of(lambda h, x: (ops.add(h, x), ops.reduce_sum(x, (0,))), h=t, x=t)
    executable = BACKEND.compile(program, donate=["h", "x"])
    h, x = BACKEND.asarray(np.ones(64, "f")), BACKEND.asarray(np.full(64, 2.0, "f"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = executable({"h": h, "x": x})
    assert h.is_deleted()
    assert not x.is_deleted(), "no output can take this buffer"
    assert executable.memory().aliased == 256
    np.testing.assert_array_equal(np.asarray(out["output(0)"]), 3.0)


def test_donation_leaves_numpy_arrays_and_arrays_given_twice_alone():
    t = TensorType(F32, (4096,))
    program = program_of(lambda h, c, x: (ops.add(h, x), ops.add(c, 1.0)), h=t, c=t, x=t)
    executable = BACKEND.compile(program, donate=["h", "c"])
    mine = np.ones(4096, "f")
    out = executable({"h": mine, "c": mine, "x": mine})
    mine[:] = 7
    np.testing.assert_array_equal(np.asarray(out["output(0)"]), 2.0)
    zeros = BACKEND.asarray(np.zeros(4096, "f"))
    out = executable({"h": zeros, "c": zeros, "x": zeros})
    np.testing.assert_array_equal(np.asarray(out["output(0)"]), 0.0)
    np.testing.assert_array_equal(np.asarray(out["output(1)"]), 1.0)


def test_outputs_do_not_follow_a_numpy_input():
    t = TensorType(F32, (1 << 16,))
    program = program_of(lambda x: (x, ops.reshape(x, (256, 256))), x=t)
    mine = np.ones(1 << 16, "f")
    out = BACKEND.compile(program)({"x": mine})
    mine[:] = 7
    for array in out.values():
        assert np.all(np.asarray(array) == 1)


# -- errors ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((3, 2), "f")}, r"input 'x' needs f32\[2,3\], got f32\[3,2\]"),
        ({"y": np.zeros((2, 3), "f")}, r"input 'x' is missing; it needs f32\[2,3\](.|\n)*'y'"),
        ({"x": np.zeros((2, 3), complex)}, "complex"),
    ],
)
def test_wrong_arrays_are_named(arrays, message):
    program = program_of(lambda x: ops.neg(x), x=TensorType(F32, (2, 3)))
    executable = BACKEND.compile(program)
    with pytest.raises(IRError, match=message):
        executable(arrays)
    with pytest.raises(IRError, match=message):
        executable.function(arrays)


def test_elements_are_never_rounded_silently_to_integers():
    program = program_of(lambda k: ops.add(k, 1), k=TensorType(I32, (2,)))
    executable = BACKEND.compile(program)
    with pytest.raises(ShapeError, match=r"input 'k' needs i32\[2\], got f64\[2\](.|\n)*astype"):
        executable({"k": np.asarray([0.5, 1.5])})
    out = executable({"k": np.asarray([1, 2], np.int64)})["output(0)"]
    assert (out.dtype, out.tolist()) == (np.int32, [2, 3])


def test_unknown_donation_and_device():
    program = program_of(lambda hidden: ops.neg(hidden), hidden=TensorType(F32, (2,)))
    with pytest.raises(IRError, match="cannot donate 'hiden' of @p; did you mean 'hidden'"):
        BACKEND.compile(program, donate=["hiden"])
    with pytest.raises(Exception, match="JAX has no device 'cpu:99'"):
        JaxBackend("cpu:99").compile(program)


# -- the backend object ----------------------------------------------------------------------
def test_backend_pickles_with_its_device():
    backend = pickle.loads(pickle.dumps(JaxBackend(jax.devices("cpu")[0])))
    assert backend == JaxBackend("cpu:0")
    program = rnn(T=2)
    executable = backend.compile(program)
    agree(program, arrays_for(program), executable)
    agree(program, arrays_for(program), executable)
    assert executable.compilations == 1


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "uint32", "bool"])
def test_arrays_keep_their_element_type(dtype):
    array = np.asarray([[0, 1], [1, 1]], dtype)
    there = BACKEND.asarray(array)
    assert isinstance(there, jax.Array)
    back = BACKEND.to_numpy(BACKEND.asarray(there))
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


# -- derivatives -----------------------------------------------------------------------------
def both_gradients(program, wrt):
    """Return the gradients of the first output summed, by `jax.grad` and by our own vjp."""
    arrays = arrays_for(program, scale=0.7)
    executable = BACKEND.compile(program)
    with jax.enable_x64(True), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        total = jax.grad(
            lambda some: executable.function({**arrays, **some})[program.outputs[0].key].sum()
        )
        theirs = jax.jit(total)({k: jnp.asarray(arrays[k]) for k in wrt})
    pulled = vjp(program, wrt)
    cotangents = {
        p.name: np.full(p.type.shape, float(p.name == "ct_0"), p.type.dtype.numpy())
        for p in pulled.inputs if p.name.startswith("ct_")
    }  # fmt: skip
    ours = BACKEND.compile(pulled)({**arrays, **cotangents})
    for name in wrt:
        a, b = np.asarray(theirs[name]), np.asarray(ours[f"grad({name})"])
        assert np.any(b != 0), name
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_gradients_of_a_cell_agree_with_jax():
    def cell(x, h, w, b):
        z = ops.contract(ops.concat([x, h], 1), w, "bi,io->bo")
        z = ops.add(z, ops.broadcast(b, (2, 6), (1,)))
        gate = ops.logistic(ops.slice_(z, (0, 0), (2, 3), (1, 1)))
        new = ops.tanh(ops.slice_(z, (0, 3), (2, 6), (1, 1)))
        h = ops.add(ops.mul(gate, h), ops.mul(ops.sub(1.0, gate), new))
        top = ops.reduce_max(h, (1,))
        shifted = ops.exp(ops.sub(h, ops.broadcast(top, (2, 3), (0,))))
        return ops.div(shifted, ops.broadcast(ops.reduce_sum(shifted, (1,)), (2, 3), (0,))), h

    program = program_of(
        lambda x, h, w, b: [ops.mul(cell(x, h, w, b)[0], h)],
        x=TensorType(F64, (2, 4)), h=TensorType(F64, (2, 3)),
        w=TensorType(F64, (7, 6)), b=TensorType(F64, (6,)),
    )  # fmt: skip
    both_gradients(program, ["x", "h", "w", "b"])


def test_gradients_through_spikes_and_detached_values_agree_with_jax():
    bump = trace(lambda x: ops.exp(ops.neg(ops.mul(x, x))), {"x": TensorType(F64)}, name="bump")[0]

    def neuron(v, w):
        v = ops.contract(v, w, "bi,io->bo")
        s = bind(get("spike"), v, surrogate="fast_sigmoid")
        r = bind(get("spike"), v, surrogate=bump)
        return ops.add(ops.mul(v, ops.stop_gradient(s)), ops.mul(s, r))

    program = program_of(neuron, v=TensorType(F64, (3, 4)), w=TensorType(F64, (4, 5)))
    both_gradients(program, ["v", "w"])


def test_gradients_through_loops_agree_with_jax():
    both_gradients(rnn(T=4, B=2, n=3, dtype=F64), ["w", "h", "xs"])


def test_function_runs_inside_jit_scan_and_vmap():
    t = TensorType(F32, (3,))
    program = program_of(lambda h, x: ops.tanh(ops.add(ops.mul(h, 0.5), x)), h=t, x=t)
    executable = BACKEND.compile(program)
    xs = np.random.default_rng(0).standard_normal((6, 5, 3)).astype("f")

    def step(h, x):
        h = jax.vmap(lambda h, x: executable.function({"h": h, "x": x})["output(0)"])(h, x)
        return h, h

    rollout = jax.jit(
        lambda h, xs: jax.lax.scan(step, h, xs)[1], compiler_options=executable.compiler_options
    )
    found = np.asarray(rollout(np.zeros((5, 3), "f"), xs))
    h = np.zeros((5, 3), "f")
    for x, row in zip(xs, found, strict=True):
        h = np.tanh(0.5 * h + x)
        np.testing.assert_allclose(row, h, atol=1e-6)
    assert np.abs(found).max() > 0.5


def test_double_precision_without_x64_is_one_clear_error():
    program = program_of(lambda x: ops.neg(x), x=TensorType(F64, (2,)))
    with pytest.raises(IRError, match="enable_x64"):
        BACKEND.compile(program).function({"x": jnp.ones(2)})
