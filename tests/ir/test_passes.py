"""Passes keep values, and remove what they say they remove."""

from itertools import permutations
from operator import itemgetter

import numpy as np
import pytest

from etp_ir import Builder, Program, Tracer, ops, trace
from etp_ir.interpreter import evaluate
from etp_ir.passes import cse, dce, last_uses, lower, simplify
from etp_ir.primitive import get
from etp_ir.tracer import bind
from etp_ir.transforms import batch_program, vjp
from etp_ir.types import BOOL, F32, F64, I32, TensorType


def t(*shape, dtype=F64):
    return TensorType(dtype, shape)


def program(function, **types):
    return trace(function, types, name="p")[0]


def arrays(p, seed=0):
    rng = np.random.default_rng(seed)

    def one(port):
        if port.type.dtype is BOOL:
            return rng.random(port.type.shape) < 0.5
        if port.type.dtype.is_float:
            return rng.standard_normal(port.type.shape)
        return rng.integers(0, 4, port.type.shape)

    return {port.name: one(port) for port in p.inputs}


def same(p, q, seed=0, rtol=1e-12):
    """Both programs have one signature and give one answer, which is not zero."""
    assert [(i.name, i.type, i.role) for i in p.inputs] == [
        (i.name, i.type, i.role) for i in q.inputs
    ]
    assert [(o.key, o.type) for o in p.outputs] == [(o.key, o.type) for o in q.outputs]
    given = arrays(p, seed)
    a, b = evaluate(p, given), evaluate(q, given)
    for key in a:
        np.testing.assert_allclose(b[key], a[key], rtol=rtol, atol=1e-12, err_msg=key)


def names(p):
    return [node.primitive.name for node in p.nodes]


def specs(p):
    return [node.attrs["spec"] for node in p.nodes if node.primitive.name == "contract"]


def scan(body, length, operands, consts=0, carries=0, reverse=False):
    outs = bind(
        get("scan"), *operands,
        body=body, length=length, consts=consts, carries=carries, reverse=reverse,
    )  # fmt: skip
    return outs if isinstance(outs, tuple) else (outs,)


# -- simplify ------------------------------------------------------------------------------
X, M = t(3), t(2, 3)

IDENTITIES = {
    "x*1": (lambda x: ops.mul(x, 1.0), []),
    "1*x": (lambda x: ops.mul(1.0, x), []),
    "x+0": (lambda x: ops.add(x, 0.0), []),
    "0+x": (lambda x: ops.add(0.0, x), []),
    "x-0": (lambda x: ops.sub(x, 0.0), []),
    "0-x": (lambda x: ops.sub(0.0, x), ["neg"]),
    "x/1": (lambda x: ops.div(x, 1.0), []),
    "x*-1": (lambda x: ops.mul(x, -1.0), ["neg"]),
    "x*0": (lambda x: ops.mul(x, 0.0), ["broadcast"]),
    "x+x": (lambda x: ops.add(x, x), ["mul"]),
    "x**1": (lambda x: ops.pow_(x, 1.0), []),
    "x**2": (lambda x: ops.pow_(x, 2.0), ["mul"]),
    "--x": (lambda x: ops.neg(ops.neg(x)), []),
    "-(x-1)": (lambda x: ops.neg(ops.sub(x, 1.0)), ["sub"]),
    "x+(-tanh x)": (lambda x: ops.add(x, ops.neg(ops.tanh(x))), ["tanh", "sub"]),
    "-tanh x+x": (lambda x: ops.add(ops.neg(ops.tanh(x)), x), ["tanh", "sub"]),
    "x-(-tanh x)": (lambda x: ops.sub(x, ops.neg(ops.tanh(x))), ["tanh", "add"]),
    "(-x)*(-tanh x)": (lambda x: ops.mul(ops.neg(x), ops.neg(ops.tanh(x))), ["tanh", "mul"]),
    "2*(3*x)": (lambda x: ops.mul(2.0, ops.mul(x, 3.0)), ["mul"]),
    "-(3*x)": (lambda x: ops.neg(ops.mul(x, 3.0)), ["mul"]),
    "(1/x)*tanh x": (lambda x: ops.mul(ops.div(1.0, x), ops.tanh(x)), ["tanh", "div"]),
    "cast same": (lambda x: ops.cast(x, F64), []),
    "select same": (lambda x: ops.select(ops.gt(x, 0.0), x, x), []),
    "select true": (
        lambda x: ops.select(ops.full(x.builder, (3,), True, BOOL), x, ops.tanh(x)), [],
    ),
    "select not": (
        lambda x: ops.select(ops.not_(ops.gt(x, 0.0)), x, ops.tanh(x)), ["gt", "tanh", "select"],
    ),
    "exp of constant": (
        lambda x: ops.add(ops.exp(ops.mul(ops.full(x.builder, (3,), 2.0, F64), 3.0)), x), ["add"],
    ),
    "log of zero is left": (
        lambda x: ops.mul(ops.log(ops.full(x.builder, (3,), 0.0, F64)), ops.exp(x)), None,
    ),
    "reshape back": (lambda x: ops.reshape(ops.reshape(x, (3, 1)), (3,)), []),
    "reverse twice": (lambda x: ops.reverse(ops.reverse(x, (0,)), (0,)), []),
    "slice all": (lambda x: ops.slice_(x, (0,), (3,), (1,)), []),
    "slice slice": (lambda x: ops.slice_(ops.slice_(x, (1,), (3,), (1,)), (1,), (2,), (1,)),
                    ["slice"]),
    "slice concat": (lambda x: ops.slice_(ops.concat([ops.tanh(x), x], 0), (3,), (6,), (1,)), []),
    "pad nothing": (lambda x: ops.pad(x, (0,), (0,), (0,)), []),
    "pad zeros": (lambda x: ops.pad(ops.mul(x, 0.0), (1,), (0,), (0,)), ["broadcast"]),
    "pads side by side": (
        lambda x: ops.add(ops.pad(ops.tanh(x), (3,), (0,), (0,)), ops.pad(x, (0,), (3,), (0,))),
        ["tanh", "concat"],
    ),
    "pads with room around": (
        lambda x: ops.add(ops.pad(x, (1,), (4,), (0,)), ops.pad(ops.sin(x), (4,), (1,), (0,))),
        ["sin", "concat", "pad"],
    ),
    "pads apart": (
        lambda x: ops.add(ops.pad(x, (0,), (4,), (0,)), ops.pad(ops.sin(x), (4,), (0,), (0,))),
        ["pad", "sin", "pad", "add"],
    ),
    "pads that overlap": (
        lambda x: ops.add(ops.pad(x, (0,), (2,), (0,)), ops.pad(ops.sin(x), (2,), (0,), (0,))),
        ["pad", "sin", "pad", "add"],
    ),
    "concat concat": (
        lambda x: ops.concat([ops.concat([x, ops.sin(x)], 0), x], 0), ["sin", "concat"],
    ),
    "concat one": (lambda x: ops.concat([x], 0), []),
    "concat constants": (
        lambda x: ops.concat([ops.full(x.builder, (n,), 2.0, F64) for n in (1, 2)], 0),
        ["broadcast"],
    ),
    "sum of nothing": (lambda x: ops.reduce_sum(x, ()), []),
    "sum of constant": (
        lambda x: ops.add(ops.reduce_sum(ops.full(x.builder, (4, 3), 2.0, F64), (0,)), x), ["add"],
    ),
    "sum of broadcast": (
        lambda x: ops.reduce_sum(ops.broadcast(x, (4, 3), (1,)), (0,)), ["mul"],
    ),
    "broadcast twice": (
        lambda x: ops.broadcast(ops.broadcast(x, (3, 2), (0,)), (4, 3, 2), (1, 2)), ["broadcast"],
    ),
    "element-wise between reshapes": (
        lambda x: ops.reshape(ops.div(ops.reshape(ops.sin(x), (3, 1)),
                                      ops.exp(ops.reshape(x, (3, 1)))), (3,)),
        ["sin", "exp", "div"],
    ),
    "element-wise before permute": (
        lambda x: ops.tanh(ops.permute(ops.broadcast(x, (2, 3), (1,)), (1, 0))),
        ["tanh", "broadcast", "permute"],
    ),
    "element-wise before broadcast": (
        lambda x: ops.add(ops.tanh(ops.broadcast(x, (4, 3), (1,))),
                          ops.broadcast(x, (4, 3), (1,))),
        ["tanh", "add", "broadcast"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", IDENTITIES)
def test_identities(case):
    function, left = IDENTITIES[case]
    p = program(lambda x: function(x), x=X)
    q = simplify(p)
    if left is not None:
        assert names(q) == left
        same(p, q)
    else:
        assert names(q) == names(p)


def test_slices_of_slices_by_all_bounds():
    """Every composition of two strided slices of six elements."""
    rng = np.random.default_rng(1)
    for _ in range(60):
        a, b = sorted(rng.integers(0, 7, 2))
        s, step = rng.integers(1, 4, 2)
        inner = -(-(b - a) // s)
        c, d = sorted(rng.integers(0, inner + 1, 2))
        p = program(
            lambda x, a=a, b=b, s=s, c=c, d=d, step=step: ops.slice_(
                ops.slice_(x, (int(a),), (int(b),), (int(s),)), (int(c),), (int(d),), (int(step),)
            ),
            x=t(6),
        )
        q = simplify(p)
        assert len(q.nodes) <= 1
        same(p, q)


CONTRACTIONS = {
    "sum": (lambda x, y: ops.reduce_sum(ops.contract(x, y, "bi,bo->bio"), (0,)), ["bi,bo->io"]),
    "sum of all": (
        lambda x, y: ops.reduce_sum(ops.contract(x, y, "bi,bo->bio"), (1, 2)), None,
    ),
    "permute result": (
        lambda x, y: ops.permute(ops.contract(x, y, "bi,bo->bio"), (2, 0, 1)), ["bi,bo->obi"],
    ),
    "permute operand": (
        lambda x, y: ops.contract(ops.permute(x, (1, 0)), y, "ib,bo->io"), ["bi,bo->io"],
    ),
    "permute second": (
        lambda x, y: ops.contract(x, ops.permute(y, (1, 0)), "bi,ob->io"), ["bi,bo->io"],
    ),
    "equal terms": (lambda x, y: ops.contract(x, ops.tanh(x), "bi,bi->bi"), []),
    "constant": (lambda x, y: ops.contract(ops.full(x.builder, (5, 2), 3.0, F64), y, "bi,bo->oi"),
                 []),
    "zero": (lambda x, y: ops.contract(ops.full(x.builder, (5, 2), 0.0, F64), y, "bi,bo->oi"), []),
    "sum of a sum of contractions": (
        lambda x, y: ops.reduce_sum(
            ops.sub(ops.contract(x, y, "bi,bo->bio"),
                    ops.mul(2.0, ops.neg(ops.contract(y, x, "bo,bi->bio")))), (0,)),
        ["bi,bo->io", "bo,bi->io"],
    ),
    "sum through pad": (
        lambda x, y: ops.reduce_sum(
            ops.pad(ops.contract(x, y, "bi,bo->bio"), (0, 1, 0), (0, 0, 2), (0, 0, 0)), (0,)),
        ["bi,bo->io"],
    ),
    "sum through concat": (
        lambda x, y: ops.reduce_sum(
            ops.concat([ops.contract(x, y, "bi,bo->bio"), ops.contract(y, x, "bo,bi->bio")], 1),
            (0,)),
        ["bi,bo->io", "bo,bi->io"],
    ),
    "sum through slice": (
        lambda x, y: ops.reduce_sum(
            ops.slice_(ops.contract(x, y, "bi,bo->bio"), (0, 1, 0), (5, 2, 3), (1, 1, 2)), (0,)),
        ["bi,bo->io"],
    ),
    "sum through permute and reshape": (
        lambda x, y: ops.reduce_sum(
            ops.reshape(ops.permute(ops.contract(x, y, "bi,bo->bio"), (0, 2, 1)), (5, 6)), (0,)),
        ["bi,bo->oi"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CONTRACTIONS)
def test_contractions(case):
    function, left = CONTRACTIONS[case]
    p = program(lambda x, y: function(x, y), x=t(5, 2), y=t(5, 3))
    q = simplify(p)
    if left is not None:
        assert specs(q) == left
    assert not any(v.type.rank > 2 for n in q.nodes for v in n.outputs) or "result" in case
    same(p, q)


def test_operands_permuted_in_every_order():
    for order in permutations(range(3)):
        shape = tuple((2, 3, 4)[order.index(i)] for i in range(3))
        p = program(
            lambda x, y, order=order: ops.contract(ops.permute(x, order), y, "abc,cb->a"),
            x=t(*shape), y=t(4, 3),
        )  # fmt: skip
        q = simplify(p)
        assert names(q) == ["contract"]
        same(p, q)


def test_broadcast_operands_of_contractions():
    """Every subset of the axes of an operand may be broadcast."""
    for axes in [(), (0,), (1,), (0, 1)]:
        for spec in ["bi,bo->io", "bi,bo->bo", "bi,bo->oi", "bi,bo->", "bi,o->oib", "bi,bi->bi"]:
            right = {"bo": (4, 5), "o": (5,), "bi": (4, 3)}[spec[3:].split("-")[0]]
            p = program(
                lambda x, y, axes=axes, spec=spec: ops.contract(
                    ops.broadcast(x, (4, 3), axes), y, spec),
                x=t(*((4, 3)[a] for a in axes)), y=t(*right),
            )  # fmt: skip
            q = simplify(p)
            assert "broadcast" not in names(q)[:1]
            same(p, q)


def test_long_sums_of_contractions():
    """As long as an unrolled sequence: rules do not recurse over the terms."""

    def function(x, y):
        total = ops.contract(x, y, "bi,bo->bio")
        for k in range(600):
            total = ops.add(total, ops.contract(ops.mul(x, 1.0 + k), y, "bi,bo->bio"))
        return ops.reduce_sum(total, (0,))

    p = program(function, x=t(5, 2), y=t(5, 3))
    q = simplify(p)
    assert set(specs(q)) == {"bi,bo->io"}
    same(p, q)


def test_a_contraction_with_another_reader_is_kept():
    def function(x, y):
        z = ops.contract(x, y, "bi,bo->bio")
        return z, ops.reduce_sum(z, (0,))

    p = program(function, x=t(5, 2), y=t(5, 3))
    q = simplify(p)
    assert names(q) == ["contract", "reduce_sum"]
    same(p, q)


def test_total_gradients_become_contractions():
    def loss(x, w, v, target):
        h = ops.tanh(bind(get("etp.matmul"), x, w))
        d = ops.sub(ops.mul(h, v), target)
        return ops.reduce_sum(ops.mul(d, d), (0,))

    p = program(loss, x=t(3), w=t(3, 4), v=t(4), target=t(4))
    g = vjp(p, ["w", "v"])
    b = batch_program(g, 5, {"x": 0, "target": 0, "ct_0": 0}, total={"grad"})
    q = simplify(lower(b))
    assert "bi,bo->io" in specs(q)
    assert all(n.outputs[0].type.rank <= 2 for n in q.nodes)
    same(b, q)


def test_simplify_is_idempotent_and_pure():
    p = program(lambda x: ops.add(ops.mul(x, 1.0), ops.neg(ops.tanh(ops.add(x, 0.0)))), x=X)
    before = p.canonical
    q = simplify(p)
    assert simplify(q) == q
    assert p.canonical == before


def test_integers_keep_their_arithmetic():
    p = program(lambda x: ops.mul(ops.neg(x), ops.add(ops.mul(x, 3), 0)), x=t(3, dtype=I32))
    same(p, simplify(p))


# -- loops ---------------------------------------------------------------------------------
def loop_body():
    b = Builder("body", float_dtype=F64)
    w, gain = Tracer(b, b.input("w", t(3, 3), "const")), Tracer(b, b.input("gain", t(3), "const"))
    h, n, fixed = (Tracer(b, b.input(k, t(3), "carry")) for k in ("h", "n", "fixed"))
    dead = Tracer(b, b.input("dead", t(), "carry"))
    x, zero = (Tracer(b, b.input(k, t(3), "slot")) for k in ("x", "zero"))
    slope = ops.exp(gain)
    new = ops.tanh(ops.add(ops.add(ops.contract(h, w, "i,io->o"), x), ops.mul(zero, fixed)))
    return b.finish([
        (ops.mul(new, slope).value, "carry"), (ops.add(n, fixed).value, "carry"),
        (fixed.value, "carry"), (ops.sin(dead).value, "carry"),
        (ops.mul(new, 2.0).value, "stack"), (gain.value, "stack"), (ops.cos(dead).value, "stack"),
    ])  # fmt: skip


def looped(w, gain, h, x, s):
    zero = ops.full(w.builder, (6, 3), 0.0, F64)
    n = ops.full(w.builder, (3,), 0.0, F64)
    return scan(loop_body(), 6, [w, gain, h, n, gain, s, x, zero], consts=2, carries=4)


LOOP = {"w": t(3, 3), "gain": t(3), "h": t(3), "x": t(6, 3), "s": t()}


def test_dead_parts_of_a_loop_go():
    p = program(lambda **k: itemgetter(0, 4)(looped(**k)), **LOOP)
    (node,) = [n for n in dce(p).nodes if n.primitive.name == "scan"]
    # h stays; `fixed` is read by the live update; n and dead are not.
    assert node.attrs["carries"] == 2
    assert [port.name for port in node.attrs["body"].inputs] == [
        "w", "gain", "h", "fixed", "x", "zero",
    ]  # fmt: skip
    assert "sin" not in names(node.attrs["body"])
    same(p, dce(p))


def test_a_carry_read_only_by_a_live_result_stays():
    p = program(lambda **k: [looped(**k)[6]], **LOOP)
    (node,) = [n for n in dce(p).nodes if n.primitive.name == "scan"]
    assert [port.name for port in node.attrs["body"].inputs] == ["dead"]
    same(p, dce(p))


def test_a_loop_nobody_reads_goes():
    p = program(lambda **k: [looped(**k), k["h"]][1], **LOOP)
    assert dce(p).nodes == ()


def test_simplify_inside_loops():
    p = program(lambda **k: looped(**k), **LOOP)
    q = simplify(p)
    (node,) = [n for n in q.nodes if n.primitive.name == "scan"]
    inside = names(node.attrs["body"])
    assert "exp" in names(q), "what depends on constants only is computed before the loop"
    assert "exp" not in inside
    assert node.attrs["carries"] == 3, "a carry that never changes is a constant"
    assert [port.name for port in node.attrs["body"].inputs[node.attrs["consts"] + 3 :]] == ["x"]
    assert inside.count("mul") == 2, "nothing is multiplied by the zeros"
    same(p, q)


def test_a_loop_without_results_left_goes():
    def body():
        b = Builder("body")
        a = Tracer(b, b.input("a", t(3), "carry"))
        x = Tracer(b, b.input("x", t(3), "slot"))
        del x
        return b.finish([(a.value, "carry"), (a.value, "stack")])

    p = program(lambda a, x: scan(body(), 4, [a, x], carries=1), a=t(3), x=t(4, 3))
    q = simplify(p)
    assert names(q) == ["broadcast"]
    same(p, q)


@pytest.mark.parametrize("length", [0, 3])
def test_a_loop_of_numbers_stays_in_the_program(length):
    """No operand of the loop is left, and a loop without any must not be computed at once."""

    def body():
        b = Builder("body", float_dtype=F64)
        c = Tracer(b, b.input("c", t(2), "const"))
        return b.finish([(ops.exp(c).value, "stack")])

    def function(x):
        one = ops.full(x.builder, (2,), 1.0, F64)
        rows = bind(
            get("scan"), one, body=body(), length=length, consts=1, carries=0, reverse=False
        )
        return ops.sin(x), rows

    p = program(lambda x: function(x), x=t(2))
    same(p, simplify(p))


def test_literal_results_of_a_loop_keep_their_type():
    from etp_ir.core import Literal

    def body():
        b = Builder("body", float_dtype=F64)
        a, x = Tracer(b, b.input("a", t(), "carry")), Tracer(b, b.input("x", t(), "slot"))
        outs = [(Literal(0.25, F64), "carry"), (a.value, "stack"), (Literal(1.5, F64), "stack")]
        return b.finish([*outs, (ops.sin(x).value, "stack")])

    def function(a):
        return scan(body(), 3, [a, ops.broadcast(a, (3,), ())], carries=1)

    p = program(lambda a: function(a), a=t())
    same(p, simplify(p))


def test_a_batch_of_accumulated_gradients_is_accumulated_as_a_sum():
    def body():
        b = Builder("body")
        g = Tracer(b, b.input("g", t(2, 3), "carry"))
        x, d = Tracer(b, b.input("x", t(2), "slot")), Tracer(b, b.input("d", t(3), "slot"))
        return b.finish([(ops.add(g, ops.contract(x, d, "i,o->io")).value, "carry")])

    def function(x, d):
        return scan(body(), 7, [ops.full(x.builder, (2, 3), 0.0, F64), x, d], carries=1)

    p, _ = trace(function, {"x": t(7, 2), "d": t(7, 3)}, outputs=["grad"])
    b = batch_program(p, 5, {"x": 0, "d": 0}, total={"grad"})
    q = simplify(b)
    (node,) = [n for n in q.nodes if n.primitive.name == "scan"]
    assert specs(node.attrs["body"]) == ["bi,bo->io"]
    assert node.outputs[0].type.shape == (2, 3)
    same(b, q)


def places(builder):
    """Rows and columns of three nonzeros, sorted by column."""
    attrs = [{"values": v, "shape": (3,)} for v in ((0, 1, 0), (0, 1, 3))]
    return [Tracer(builder, builder.emit(get("table"), [], a)[0]) for a in attrs]


@pytest.mark.parametrize("lead", [(), (4,)])
def test_a_batch_of_sparse_gradients_is_summed_where_it_is_sampled(lead):
    def function(x, y):
        return ops.neg(ops.sparse_sample(x, y, *places(x.builder), 0, "cols"))

    p, _ = trace(function, {"x": t(*lead, 2), "y": t(*lead, 4)}, outputs=["grad"])
    b = batch_program(p, 5, {"x": 0, "y": 0}, total={"grad"})
    q = simplify(b)
    assert names(q) == ["table", "table", "sparse_sample", "neg"]
    assert q.nodes[2].output.type.shape == (3,)
    same(b, q)


def test_kept_axes_of_a_sample_are_summed_in_any_order():
    def function(axes):
        def inner(x, y):
            return ops.reduce_sum(ops.sparse_sample(x, y, *places(x.builder), 3, "cols"), axes)

        return inner

    for axes in [(0,), (1,), (0, 2), (0, 1, 2), (1, 3)]:
        p = program(function(axes), x=t(2, 3, 4, 5, 2), y=t(2, 3, 4, 5, 4))
        q = simplify(p)
        assert ("reduce_sum" in names(q)) is (3 in axes)
        same(p, q)


def test_what_is_looked_up_and_summed_is_sampled():
    def function(x, y):
        rows, cols = places(x.builder)
        return ops.reduce_sum(ops.mul(ops.gather(x, rows, 2), ops.gather(y, cols, 2)), (0,))

    p = program(function, x=t(5, 4, 2), y=t(5, 4, 4))
    q = simplify(p)
    assert names(q)[-1] == "sparse_sample"
    assert q.nodes[-1].attrs["kept"] == 1
    assert {"gather", "mul", "reduce_sum"}.isdisjoint(names(q))
    same(p, q)


@pytest.mark.parametrize("axes", [(2,), (0, 2)])
def test_a_sum_over_the_nonzeros_is_not_sampled(axes):
    def function(x, y):
        rows, cols = places(x.builder)
        return ops.reduce_sum(ops.mul(ops.gather(x, rows, 2), ops.gather(y, cols, 2)), axes)

    p = program(function, x=t(5, 4, 2), y=t(5, 4, 4))
    assert "sparse_sample" not in names(simplify(p))


def test_a_batch_of_rows_looked_up_is_scattered_into_one_table():
    """Also for steps laid side by side before: two batch axes."""
    table = t(6, 2)

    def function(w, i):
        return ops.sin(ops.gather(w, i, 0))

    for shape in [(), (2,), (2, 2)]:
        p = program(function, w=table, i=t(*shape, dtype=I32))
        g = vjp(p, ["w"])
        b = batch_program(g, 4, {"i": 0, "ct_0": 0}, total={"grad"})
        bb = batch_program(b, 3, {"i": 0, "ct_0": 0}, total={"grad"})
        for q in (b, bb):
            r = simplify(q)
            scattered = [n.output.type for n in r.nodes if n.primitive.name == "scatter_add"]
            assert scattered == [table]
            same(q, r)


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1), (2,), (3,), (0, 3), (0, 1, 2, 3)])
def test_sums_of_scattered_arrays(axes):
    def function(x, i):
        return ops.reduce_sum(ops.scatter_add(x, i, 2, 5), axes)

    for shape in [(), (4,), (2, 2)]:
        p = program(function, x=t(2, 3, *shape, 6), i=t(*shape, dtype=I32))
        q = simplify(p)
        assert (names(q)[-1] == "scatter_add") is (2 not in axes)
        same(p, q)


@pytest.mark.parametrize(
    "shape", [(2, 3, 2, 3), (6, 2, 3), (2, 3, 6), (4, 3, 3), (12, 3), (1, 12, 3)]
)
def test_sums_of_blocks_of_scattered_arrays(shape):
    def function(x, i):
        return ops.reduce_sum(ops.reshape(ops.scatter_add(x, i, 0, 12), shape), (0,))

    p = program(function, x=t(7, 3), i=t(7, dtype=I32))
    same(p, simplify(p))


# -- the others ----------------------------------------------------------------------------
def test_a_carry_with_another_reader_is_not_summed_inside():
    def body():
        b = Builder("body")
        g = Tracer(b, b.input("g", t(3), "carry"))
        x = Tracer(b, b.input("x", t(3), "slot"))
        return b.finish([(ops.add(g, ops.sin(ops.mul(g, x))).value, "carry")])

    p = program(
        lambda g, x: ops.reduce_sum(scan(body(), 4, [g, x], carries=1)[0], (0,)),
        g=t(3), x=t(4, 3),
    )  # fmt: skip
    same(p, simplify(p))


def test_cse_shares_equal_nodes_also_inside_loops():
    def body():
        b = Builder("body")
        h, x = Tracer(b, b.input("h", t(3), "carry")), Tracer(b, b.input("x", t(3), "slot"))
        return b.finish([(ops.add(ops.tanh(x), ops.mul(ops.tanh(x), h)).value, "carry")])

    p = program(
        lambda h, x: [*scan(body(), 4, [h, x], carries=1), ops.add(ops.sin(h), ops.sin(h))],
        h=t(3), x=t(4, 3),
    )  # fmt: skip
    q = cse(p)
    assert names(q) == ["scan", "sin", "add"]
    assert names(q.nodes[0].attrs["body"]) == ["tanh", "mul", "add"]
    same(p, q)


def test_cse_tells_attributes_and_literals_apart():
    p = program(
        lambda x: [ops.mul(x, 1.0), ops.mul(x, 2.0), ops.cast(x, F32), ops.cast(x, F64)], x=X
    )
    assert len(cse(p).nodes) == 4


def test_last_uses():
    p = program(lambda x: [ops.add(ops.tanh(x), ops.sin(x)), ops.exp(x)][0], x=X)
    tanh, sin, add, exp = p.nodes
    dead = last_uses(p)
    assert dead == {tanh: (), sin: (), add: (tanh.output, sin.output), exp: (exp.output,)}


def test_lower_leaves_no_marks():
    p = program(lambda x, w: ops.stop_gradient(bind(get("etp.matmul"), x, w)), x=t(2, 3), w=t(3, 4))
    q = lower(p)
    assert specs(q) == ["bi,io->bo"]
    assert names(q) == ["contract"]
    same(p, q)


def test_programs_are_values():
    p = program(lambda x: ops.tanh(x), x=X)
    assert isinstance(simplify(p), Program)
    assert simplify(p) == p
