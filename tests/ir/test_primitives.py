"""Every rule of every primitive against its reference semantics."""

from itertools import chain, combinations, product

import numpy as np
import pytest

from etp_ir import Builder, Hole, NotSupportedError, Tracer, TypeRuleError, ops, trace
from etp_ir.core import Literal
from etp_ir.interpreter import evaluate, run
from etp_ir.primitive import as_tuple, get
from etp_ir.primitives.random import threefry
from etp_ir.tracer import bind, literal, wrap
from etp_ir.transforms import batch_program, jvp
from etp_ir.types import BOOL, F64, U32, TensorType, type_of
from tests.ir.samples import SAMPLES, shipped

CASES = [
    pytest.param(name, s, id=f"{name}-{i}")
    for name, group in SAMPLES.items() for i, s in enumerate(group)
]  # fmt: skip
SMOOTH = [c for c in CASES if c.values[1].smooth]
KNOWN_DERIVATIVE = [c for c in SMOOTH if get(c.values[0]).differentiable]


def subsets(items):
    """All non-empty subsets; of many items those of one, of two, and of all."""
    items = list(items)
    sizes = range(1, len(items) + 1) if len(items) < 4 else (1, 2, len(items))
    return chain.from_iterable(combinations(items, k) for k in sizes)


def is_literal(x):
    return isinstance(x, (bool, int, float))


def is_float(x):
    return not is_literal(x) and np.asarray(x).dtype.kind == "f"


def dtype_beside(sample):
    found = [type_of(x).dtype for x in sample.operands if not is_literal(x)]
    return next((d for d in found if d is not BOOL), found[0])


class Workbench:
    """A program under construction whose inputs are the operands of a sample."""

    def __init__(self, operands, dtype=None):
        self.builder = Builder("p", float_dtype=F64)
        self.arrays = []
        self.operands = [
            literal(x, dtype) if is_literal(x) else self.array(x).value for x in operands
        ]

    def array(self, x):
        self.arrays.append(np.asarray(x))
        name = f"x{len(self.arrays)}"
        return Tracer(self.builder, self.builder.input(name, type_of(np.asarray(x)), "input"))

    def wrapped(self):
        return [wrap(self.builder, x) for x in self.operands]

    def run(self, results):
        """Evaluate tracers; None stays None."""
        kept = [r for r in results if r is not None]
        p = self.builder.finish([(r.value, f"output({i})") for i, r in enumerate(kept)])
        values = iter(run(p, self.arrays))
        return [None if r is None else next(values) for r in results]


def reference(primitive, operands, attrs, dtype=None):
    """Return the results of the reference semantics, as a tuple."""
    given = [np.asarray(x, dtype.numpy()) if is_literal(x) else np.asarray(x) for x in operands]
    found = primitive.reference(*given, **attrs)
    return found if isinstance(found, tuple) else (found,)


def test_every_primitive_has_a_sample():
    assert sorted(shipped()) == sorted(SAMPLES)


@pytest.mark.parametrize(("name", "sample"), CASES)
def test_infer_is_the_type_of_the_reference(name, sample):
    primitive = get(name)
    dtype = dtype_beside(sample) if sample.operands else None
    bench = Workbench(sample.operands, dtype)
    inferred = as_tuple(primitive.infer(*bench.operands, **sample.attrs))
    found = reference(primitive, sample.operands, sample.attrs, dtype)
    assert [x.shape for x in inferred] == [np.shape(x) for x in found]
    assert [x.dtype.numpy() for x in inferred] == [np.asarray(x).dtype for x in found]


def directional(primitive, sample, direction, eps=1e-6):
    """Return the central difference along ``direction``, None where it is zero by type."""
    dtype = dtype_beside(sample)

    def at(sign):
        moved = [
            x if d is None else np.asarray(x) + sign * eps * d
            for x, d in zip(sample.operands, direction, strict=True)
        ]
        return reference(primitive, moved, sample.attrs, dtype)

    return [
        (a - b) / (2 * eps) if np.asarray(a).dtype.kind == "f" else None
        for a, b in zip(at(1), at(-1), strict=True)
    ]


@pytest.mark.parametrize(("name", "sample"), KNOWN_DERIVATIVE)
def test_jvp_is_the_central_difference(name, sample):
    """For every subset of the operands that may carry a tangent."""
    primitive = get(name)
    rng = np.random.default_rng(3)
    floats = [i for i, x in enumerate(sample.operands) if is_float(x)]
    for chosen in subsets(floats):
        direction = [
            rng.standard_normal(np.shape(x)) if i in chosen else None
            for i, x in enumerate(sample.operands)
        ]
        expected = directional(primitive, sample, direction)
        if primitive.jvp is None:
            assert all(e is None or np.all(np.abs(e) < 1e-12) for e in expected)
            continue
        bench = Workbench(sample.operands, dtype_beside(sample))
        primals = bench.wrapped()
        values = bench.builder.emit(primitive, bench.operands, sample.attrs)
        outs = [Tracer(bench.builder, v) for v in values]
        tangents = [None if d is None else bench.array(d) for d in direction]
        found = bench.run(primitive.jvp(primals, tangents, outs, **sample.attrs))
        for f, e in zip(found, expected, strict=True):
            if e is None:
                assert f is None
            else:
                f = np.zeros_like(e) if f is None else f
                np.testing.assert_allclose(f, e, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", [n for n in SAMPLES if not get(n).differentiable])
def test_a_derivative_that_is_not_known_is_refused(name):
    """With its name and the line."""
    sample = SAMPLES[name][0]
    types = {f"x{i}": type_of(x) for i, x in enumerate(sample.operands)}
    program, _ = trace(lambda **given: bind(get(name), *given.values(), **sample.attrs), types)
    with pytest.raises(NotSupportedError, match=f"derivative of .*{name}.* not known") as caught:
        jvp(program, list(types))
    assert __file__ in str(caught.value)


def linear_subsets(primitive, sample):
    """Yield the sets of operands in which the primitive is linear, found by trying."""
    rng = np.random.default_rng(4)
    dtype = dtype_beside(sample)
    floats = [i for i, x in enumerate(sample.operands) if is_float(x)]
    for chosen in subsets(floats):

        def value(arrays, chosen=chosen):
            moved = list(sample.operands)
            for i, a in zip(chosen, arrays, strict=True):
                moved[i] = a
            return reference(primitive, moved, sample.attrs, dtype)

        def superposes(value=value, chosen=chosen):
            """Whether f(2 u - 3 v) is 2 f(u) - 3 f(v) for random u and v."""
            u, v = (
                [rng.standard_normal(np.shape(sample.operands[i])) for i in chosen] for _ in "uv"
            )
            mixed = value([2.0 * a - 3.0 * b for a, b in zip(u, v, strict=True)])
            pairs = zip(mixed, value(u), value(v), strict=True)
            checks = [
                np.allclose(m, 2.0 * a - 3.0 * b, atol=1e-9)
                for m, a, b in pairs if m.dtype.kind == "f"
            ]  # fmt: skip
            return bool(checks) and all(checks)

        with np.errstate(all="ignore"):
            if all(superposes() for _ in range(5)):
                yield chosen


@pytest.mark.parametrize(("name", "sample"), SMOOTH)
def test_transpose_passes_the_dot_product_test(name, sample):
    """<T v, u> = <v, T^t u> for every set of operands in which the primitive is linear."""
    primitive = get(name)
    if not sample.operands:
        return
    rng = np.random.default_rng(5)
    for chosen in linear_subsets(primitive, sample):
        assert primitive.transpose is not None, f"`{name}` is linear in operands {chosen}"
        v = {i: rng.standard_normal(np.shape(sample.operands[i])) for i in chosen}
        operands = [v.get(i, x) for i, x in enumerate(sample.operands)]
        out = reference(primitive, operands, sample.attrs, dtype_beside(sample))
        u = [rng.standard_normal(np.shape(y)) if y.dtype.kind == "f" else None for y in out]
        bench = Workbench(sample.operands, dtype_beside(sample))
        given = bench.wrapped()
        for i in chosen:
            given[i] = Hole(type_of(v[i]))
        cts = [None if a is None else bench.array(a) for a in u]
        pulled = bench.run(primitive.transpose(cts, given, **sample.attrs))
        assert all(p is None for i, p in enumerate(pulled) if i not in chosen)
        left = sum(np.vdot(y, a) for y, a in zip(out, u, strict=True) if a is not None)
        right = sum(np.vdot(v[i], pulled[i]) for i in chosen if pulled[i] is not None)
        np.testing.assert_allclose(right, left, rtol=1e-9, atol=1e-12)
        assert all(pulled[i] is None or pulled[i].shape == v[i].shape for i in chosen)


def test_the_transpose_test_sees_the_linear_primitives():
    """Guard against vacuity: what is known to be linear is found to be."""
    found = {
        name for name, group in SAMPLES.items() for s in group
        if s.operands and any(True for _ in linear_subsets(get(name), s))
    }  # fmt: skip
    assert {"add", "mul", "contract", "pad", "gather", "scan", "etp.matmul", "cumsum"} <= found
    assert not {"tanh", "pow", "reduce_max", "spike"} & found


@pytest.mark.parametrize(("name", "sample"), CASES)
def test_batch_is_a_loop(name, sample):
    """For every subset of batched operands and every position of their batch axes."""
    primitive, size = get(name), 3
    if not sample.operands:
        assert primitive.batch is None
        return
    rng = np.random.default_rng(6)
    arrays = [i for i, x in enumerate(sample.operands) if not is_literal(x)]
    dtype = dtype_beside(sample)
    for chosen in subsets(arrays):
        rows = {i: [varied(rng, sample.operands[i], k) for k in range(size)] for i in chosen}
        loop = [
            reference(primitive, [rows[i][k] if i in rows else x
                                  for i, x in enumerate(sample.operands)], sample.attrs, dtype)
            for k in range(size)
        ]  # fmt: skip
        places = [range(np.ndim(sample.operands[i]) + 1) for i in chosen]
        if len(chosen) > 2:
            places = [(r[0], r[-1]) for r in places]
        for where in product(*places):
            axes = [None] * len(sample.operands)
            operands = list(sample.operands)
            for i, axis in zip(chosen, where, strict=True):
                axes[i] = axis
                operands[i] = np.stack(rows[i], axis)
            bench = Workbench(operands, dtype)
            results, out_axes = primitive.batch(bench.wrapped(), axes, size, **sample.attrs)
            found = bench.run(results)
            assert any(a is not None for a in out_axes)
            for k in range(size):
                for f, axis, e in zip(found, out_axes, loop[k], strict=True):
                    row = f if axis is None else np.take(f, k, axis)
                    assert row.dtype == e.dtype
                    np.testing.assert_allclose(row, e, rtol=1e-12, atol=1e-12)


def varied(rng, x, k):
    """Return another operand of the same kind, within the same range of values."""
    flat = np.asarray(x).ravel().copy()
    rng.shuffle(flat)
    flat = flat.reshape(np.shape(x))
    return flat * (1 + 0.1 * k) if flat.dtype.kind == "f" else flat


LOWERED = [c for c in CASES if get(c.values[0]).lower is not None]


@pytest.mark.parametrize(("name", "sample"), LOWERED)
def test_lowering_is_the_reference(name, sample):
    primitive = get(name)
    bench = Workbench(sample.operands)
    found = bench.run([primitive.lower(*bench.wrapped(), **sample.attrs)])
    (expected,) = reference(primitive, sample.operands, sample.attrs)
    np.testing.assert_allclose(found[0], expected, rtol=1e-12)
    assert found[0].dtype == expected.dtype


# -- derivatives that are chosen, not computed ---------------------------------------------
def spike_slope(surrogate, x):
    bench = Workbench([x])
    primals = bench.wrapped()
    one = bench.array(np.ones_like(x))
    (slope,) = bench.run(get("spike").jvp(primals, [one], primals, surrogate=surrogate))
    return slope


SLOPES = {
    "fast_sigmoid": lambda x: 1 / (1 + 10 * abs(x)) ** 2,
    "triangle": lambda x: 0.3 * np.maximum(0, 1 - abs(x)),
    "sigmoid": lambda x: 4 * np.exp(-4 * x) / (1 + np.exp(-4 * x)) ** 2,
    "arctan": lambda x: 1 / (1 + (np.pi * x) ** 2),
    "boxcar": lambda x: 0.5 * (abs(x) < 1),
    "straight_through": np.ones_like,
}


def test_every_surrogate_is_the_published_slope():
    from etp_ir.primitives.spike import SURROGATES

    x = np.linspace(-2.05, 2.05, 21)
    assert sorted(SLOPES) == sorted(SURROGATES)
    for name, slope in SLOPES.items():
        np.testing.assert_allclose(spike_slope(name, x), slope(x), rtol=1e-6, err_msg=name)


def test_a_traced_surrogate_applies_at_every_shape():
    custom = SAMPLES["spike"][1].attrs["surrogate"]
    for shape in [(), (3,), (2, 3)]:
        x = np.random.default_rng(0).standard_normal(shape)
        np.testing.assert_allclose(spike_slope(custom, x), np.exp(-(x**2)))


def test_stop_gradient_has_no_derivative():
    assert get("stop_gradient").jvp is None


def test_derivatives_at_ties_and_kinks():
    x, y = np.asarray([1.0, 2.0, 3.0]), np.asarray([1.0, 5.0, 0.0])
    for name, expected in (("maximum", [0.5, 0.0, 1.0]), ("minimum", [0.5, 1.0, 0.0])):
        bench = Workbench([x, y])
        tangents = [bench.array(np.ones(3)), None]
        found = bench.run(get(name).jvp(bench.wrapped(), tangents, [None]))
        np.testing.assert_array_equal(found[0], expected)
    bench = Workbench([np.asarray([2.0, 2.0, 1.0])])
    primals = bench.wrapped()
    out = ops.reduce_max(primals[0], (0,))
    tangent = bench.array(np.asarray([1.0, 3.0, 10.0]))
    (found,) = bench.run(get("reduce_max").jvp(primals, [tangent], [out], axes=(0,)))
    assert found == 2.0


def test_select_keeps_nan_of_the_branch_not_taken_out_of_tangents():
    bench = Workbench([np.asarray([True, False]), np.ones(2), np.ones(2)])
    tangents = [None, bench.array(np.asarray([1.0, np.nan])), None]
    found = bench.run(get("select").jvp(bench.wrapped(), tangents, [None]))
    np.testing.assert_array_equal(found[0], [1.0, 0.0])


# -- random bits ---------------------------------------------------------------------------
KNOWN = [  # key, counter, output: the published vectors of Threefry-2x32, 20 rounds
    ((0x00000000, 0x00000000), (0x00000000, 0x00000000), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
]


@pytest.mark.parametrize(("key", "counter", "output"), KNOWN)
def test_threefry_known_answers(key, counter, output):
    word = TensorType(U32, ())
    p, _ = trace(
        lambda k0, k1, x0, x1: threefry(k0, k1, x0, x1),
        {"k0": word, "k1": word, "x0": word, "x1": word},
    )
    values = dict(zip(("k0", "k1", "x0", "x1"), (*key, *counter), strict=True))
    found = evaluate(p, {k: np.asarray(v, np.uint32) for k, v in values.items()})
    assert tuple(int(x) for x in found.values()) == output


def test_random_bits_are_threefry_of_the_place():
    """Word j of the first half and word j of the second come from the counter (j, half + j)."""
    key, half = np.asarray([7, 9], np.uint32), 5
    bits = get("random_bits").reference(key, shape=(2 * half,))
    for j in range(half):
        words = [np.asarray(x, np.uint32) for x in (*key, j, half + j)]
        p, _ = trace(lambda **k: threefry(*k.values()), dict.fromkeys("abcd", TensorType(U32)))
        first, second = run(p, words)
        assert (bits[j], bits[half + j]) == (first, second)


@pytest.mark.parametrize("shape", [(), (1,), (2,), (7,), (3, 4)])
@pytest.mark.parametrize("lead", [(), (3,), (2, 2)])
def test_random_bits_of_many_keys_are_those_of_each(lead, shape):
    primitive = get("random_bits")
    keys = np.random.default_rng(0).integers(0, 2**32, (*lead, 2), dtype=np.uint32)
    bench = Workbench([keys])
    (lowered,) = bench.run([primitive.lower(*bench.wrapped(), shape=shape)])
    together = primitive.reference(keys, shape=shape)
    np.testing.assert_array_equal(lowered, together)
    for index in np.ndindex(lead):
        alone = primitive.reference(keys[index], shape=shape)
        np.testing.assert_array_equal(together[index], alone)


def test_a_batch_of_draws_is_one_draw():
    types = {"key": TensorType(U32, (2,))}
    p, _ = trace(lambda key: bind(get("random_bits"), key, shape=(5,)), types)
    assert len(batch_program(p, 64, {"key": 0}).nodes) == 1


def test_random_bits_look_uniform():
    bits = get("random_bits").reference(np.asarray([3, 4], np.uint32), shape=(4096,))
    mean = (bits / 2.0**32).mean()
    assert abs(mean - 0.5) < 0.02
    ones = np.unpackbits(bits.view(np.uint8)).mean()
    assert abs(ones - 0.5) < 0.01
    assert len(np.unique(bits)) > 4090


# -- what does not fit is refused ------------------------------------------------------------
f = TensorType(F64, (3,))
WRONG = {
    "shapes": (lambda x: bind(get("add"), x, ops.concat([x, x], 0)), "equal shapes"),
    "dtypes": (lambda x: ops.add(x, ops.cast(x, U32)), "equal element types"),
    "kinds": (lambda x: ops.and_(x, x), "not defined for f64"),
    "spec": (lambda x: ops.contract(x, x, "ij->i"), "not of the form"),
    "repeated letter": (lambda x: ops.contract(x, x, "ii,i->i"), "repeats a letter"),
    "output letter": (lambda x: ops.contract(x, x, "i,i->j"), "no operand has"),
    "extent": (lambda x: ops.contract(x, ops.concat([x, x], 0), "i,i->i"), "extents 3 and 6"),
    "rank": (lambda x: ops.contract(x, x, "ij,i->j"), "needs 2 axes"),
    "reshape": (lambda x: ops.reshape(x, (4,)), "other number of elements"),
    "permute": (lambda x: ops.permute(x, (1,)), "order of all axes"),
    "broadcast": (lambda x: ops.broadcast(x, (4,), (0,)), "does not fit"),
    "slice": (lambda x: ops.slice_(x, (0,), (4,), (1,)), "does not fit"),
    "concat": (lambda x: ops.concat([x, ops.reshape(x, (3, 1))], 0), "cannot join"),
    "pad": (lambda x: ops.pad(x, (-1,), (0,), (0,)), "no negative"),
    "reduce": (lambda x: ops.reduce_sum(x, (1,)), "cannot reduce"),
    "gather": (lambda x: ops.gather(x, x, 0), "integer indices"),
    "select": (lambda x: ops.select(x, x, x), "bool condition"),
    "surrogate": (lambda x: bind(get("spike"), x, surrogate="triangel"), "triangle"),
    "width": (lambda x: bind(get("etp.matmul"), x, ops.reshape(x, (1, 3))), "width 3"),
    "key": (lambda x: bind(get("random_bits"), x, shape=()), "u32"),
    "rank of a matrix": (lambda x: ops.qr(x), "array of float matrices, got f64"),
    "square": (lambda x: ops.eigh(ops.reshape(x, (1, 3))), "square matrices"),
    "scan": (lambda x: bind(get("scan"), x, body=SAMPLES["scan"][2].attrs["body"], length=1,
                            consts=1, carries=1, reverse=False), "got 1 operands"),
    "scan carry": (lambda x: bind(get("scan"), x, ops.reshape(x, (3, 1)), x,
                                  body=SAMPLES["scan"][2].attrs["body"], length=3,
                                  consts=1, carries=1, reverse=False), "needs f64"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_operands_are_refused_with_the_line(case):
    function, text = WRONG[case]
    with pytest.raises(TypeRuleError, match=text) as caught:
        trace(lambda x: function(x), {"x": f})
    assert "test_primitives.py" in str(caught.value)


def test_literals_take_the_type_beside_them():
    p, _ = trace(lambda x: ops.mul(2, x), {"x": f})
    assert p.nodes[0].inputs[0] == Literal(2.0, F64)
