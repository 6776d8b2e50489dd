"""Products of three arrays in the order that costs least."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etp_ir import ops, trace
from etp_ir.core import Program
from etp_ir.interpreter import evaluate
from etp_ir.passes.chains import cheapest_order
from etp_ir.primitives.contract import extents, parse_spec
from etp_ir.types import F64, TensorType


def t(*shape: int) -> TensorType:
    return TensorType(F64, shape)


def multiplications(program: Program) -> int:
    return sum(
        int(np.prod(list(extents(parse_spec(n.attrs["spec"]), *(x.type for x in n.inputs))
                         .values())))
        for n in program.walk() if n.primitive.name == "contract"
    )  # fmt: skip


def same(before: Program, after: Program) -> None:
    rng = np.random.default_rng(0)
    arrays = {p.name: rng.normal(size=p.type.shape) for p in before.inputs}
    expected, found = evaluate(before, arrays), evaluate(after, arrays)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-10, atol=1e-10)


LOW = {"x": t(6, 20), "b": t(20, 2), "a": t(2, 30)}


def test_a_matrix_of_low_rank_is_not_formed():
    def step(x, b, a):
        return ops.contract(x, ops.mul(0.5, ops.contract(b, a, "ir,ro->io")), "bi,io->bo")

    program, _ = trace(step, LOW)
    after = cheapest_order(program)
    assert multiplications(program) == 20 * 2 * 30 + 6 * 20 * 30
    assert multiplications(after) == 6 * 20 * 2 + 6 * 2 * 30
    same(program, after)


def test_nor_is_its_gradient():
    def step(x, c, b, a):
        whole = ops.mul(0.5, ops.contract(x, c, "bi,bo->io"))
        return [ops.contract(whole, a, "mn,kn->mk"), ops.contract(b, whole, "mk,mn->kn")]

    program, _ = trace(step, {**LOW, "c": t(6, 30)})
    after = cheapest_order(program)
    assert multiplications(after) < 0.5 * multiplications(program)
    assert not any(v.type.shape == (20, 30) for n in after.nodes for v in n.outputs)
    same(program, after)


def test_what_is_read_elsewhere_stays():
    def step(x, b, a):
        whole = ops.contract(b, a, "ir,ro->io")
        return [ops.contract(x, whole, "bi,io->bo"), ops.tanh(whole)]

    program, _ = trace(step, LOW)
    assert cheapest_order(program) is program


def test_a_square_stays():
    def step(b, a):
        whole = ops.contract(b, a, "ir,ro->io")
        return ops.contract(whole, whole, "io,io->i")

    program, _ = trace(step, {"b": t(20, 2), "a": t(2, 30)})
    assert cheapest_order(program) is program


def test_a_matrix_of_full_rank_is_formed_once_for_all():
    def step(x, b, a):
        return ops.contract(x, ops.contract(b, a, "ir,ro->io"), "bi,io->bo")

    program, _ = trace(step, {"x": t(50, 8), "b": t(8, 8), "a": t(8, 8)})
    assert cheapest_order(program) is program


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_any_order_computes_the_same(data):
    letters = "abcdef"
    sizes = {c: data.draw(st.sampled_from([1, 2, 7])) for c in letters}
    terms = st.permutations(letters).flatmap(
        lambda order: st.integers(1, 3).map(lambda n: "".join(order[:n]))
    )
    p, q, z = (data.draw(terms) for _ in range(3))
    some = st.sets(st.sampled_from(sorted(set(p + q))), min_size=1)
    middle = "".join(sorted(data.draw(some)))
    out = "".join(sorted(data.draw(st.sets(st.sampled_from(sorted(set(middle + z)))))))

    def step(p_, q_, z_):
        return ops.contract(ops.contract(p_, q_, f"{p},{q}->{middle}"), z_, f"{middle},{z}->{out}")

    types = {f"{n}_": t(*(sizes[c] for c in s)) for n, s in (("p", p), ("q", q), ("z", z))}
    program, _ = trace(step, types)
    after = cheapest_order(program)
    same(program, after)
    assert multiplications(after) <= multiplications(program)


@pytest.mark.parametrize("reverse", [False, True])
def test_products_in_a_loop(reverse):
    from etp_ir.loop import Loop

    def step(x, b, a):
        loop = Loop(x.builder, "body", 3, reverse)
        inner_b, inner_a = loop.add("const", b, b.type, "b"), loop.add("const", a, a.type, "a")
        row = loop.add("slot", x, t(6, 20), "x")
        whole = ops.contract(inner_b, inner_a, "ir,ro->io")
        key = loop.stack(ops.contract(row, whole, "bi,io->bo").value)
        return loop.run()[key]

    program, _ = trace(step, {**LOW, "x": t(3, 6, 20)})
    after = cheapest_order(program)
    assert multiplications(after) < multiplications(program)
    same(program, after)
