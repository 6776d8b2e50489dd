"""Regions and plans of memory, checked by running programs the way they say."""

import numpy as np
import pytest
from hypothesis import given

from etp_ir import Literal, ops, trace
from etp_ir.interpreter import run
from etp_ir.passes import lower, simplify
from etp_ir.passes.fuse import pointwise, regions
from etp_ir.passes.liveness import last_uses, may_overwrite, plan
from etp_ir.primitive import get
from etp_ir.tracer import bind
from etp_ir.transforms import batch_program, vjp
from etp_ir.types import F32, F64, TensorType
from tests.ir.generate import drawn, programs
from tests.ir.test_transforms import FEW, floats, outputs_of


def t(*shape, dtype=F64):
    return TensorType(dtype, shape)


def perform(node, read):
    """Return the results of one node for a function from operands to arrays."""
    arrays = [
        np.asarray(x.value, x.dtype.numpy()) if isinstance(x, Literal) else read(x)
        for x in node.inputs
    ]
    found = node.primitive.reference(*arrays, **node.attrs)
    return found if isinstance(found, tuple) else (found,)


# -- regions -------------------------------------------------------------------------------
@FEW
@given(programs(smooth=False))
def test_regions_partition_the_program(p):
    found = regions(p)
    assert sorted(map(id, p.nodes)) == sorted(id(n) for r in found for n in r.nodes)
    for region in found:
        if region.shape is None:
            assert len(region.nodes) == 1
        else:
            assert all(pointwise(n) and n.output.type.shape == region.shape for n in region.nodes)


@FEW
@given(programs(smooth=False))
def test_regions_run_one_after_the_other(p):
    """Each region needs only what it says, of regions before it, and that is enough."""
    given = drawn(p, 0)
    env = {port.value: given[port.name] for port in p.inputs}
    for region in regions(p):
        local = {v: env[v] for v in region.reads}
        for node in region.nodes:
            local.update(zip(node.outputs, perform(node, local.__getitem__), strict=True))
        env.update({v: local[v] for v in region.writes})
    found = [
        out.value.value if isinstance(out.value, Literal) else env[out.value] for out in p.outputs
    ]
    for a, b in zip(found, outputs_of(p, given), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_trace_update_is_one_region():
    """Gates, decay and the outer product of a trace: two iteration spaces, two regions."""

    def step(x, h, w, e, d):
        z = ops.tanh(ops.add(ops.contract(x, w, "i,io->o"), h))
        slope = ops.sub(1.0, ops.mul(z, z))
        kept = ops.contract(ops.mul(slope, d), e, "o,io->io")
        new = ops.add(kept, ops.contract(x, slope, "i,o->io"))
        return z, new, ops.contract(z, new, "o,io->io")

    p, _ = trace(step, {"x": t(3), "h": t(4), "w": t(3, 4), "e": t(3, 4), "d": t(4)})
    found = [(r.shape, len(r.nodes)) for r in regions(p)]
    assert found == [(None, 1), ((4,), 5), ((3, 4), 4)]


def test_independent_nodes_of_one_shape_share_a_region():
    p, _ = trace(lambda x, y: [ops.tanh(x), ops.sin(y)], {"x": t(3), "y": t(3)})
    (region,) = regions(p)
    assert len(region.nodes) == 2
    assert len(region.reads) == len(region.writes) == 2


# -- plans ---------------------------------------------------------------------------------
def run_planned(p, given, donate=(), views=()):
    """Run a program in the memory of its plan; stale reads show as wrong numbers."""
    made = plan(p, donate=donate, views=views)
    memory = [np.full(max(n, 1), 0xA5, np.uint8) for n in made.buffers]
    own = {}

    def array(value):
        if value in own:
            return own[value]
        raw = memory[made.place[value]][: value.type.nbytes]
        return raw.view(value.type.dtype.numpy()).reshape(value.type.shape)

    for port in p.inputs:
        if port.value in made.place:
            array(port.value)[...] = given[port.name]
        else:
            own[port.value] = given[port.name].copy()
            own[port.value].flags.writeable = False
    for node in p.nodes:
        results = perform(node, lambda x: array(x))
        for value, result in zip(node.outputs, results, strict=True):
            if value in made.place:
                array(value)[...] = result
            else:
                own[value] = np.array(result)
    return made, [
        np.asarray(o.value.value) if isinstance(o.value, Literal) else array(o.value)
        for o in p.outputs
    ]


def same_to_rounding(found, expected):
    """Equal but for the last bits: NumPy's loops round by how their operands lie in memory."""
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@FEW
@given(programs(smooth=False))
@pytest.mark.parametrize("donated", [False, True])
def test_planned_memory_gives_the_same_numbers(donated, p):
    given = drawn(p, 0)
    donate = [port.name for port in p.inputs] if donated else []
    made, found = run_planned(p, given, donate)
    same_to_rounding(found, outputs_of(p, given))
    every = sum(v.type.nbytes for n in p.nodes for v in n.outputs)
    assert made.nbytes <= every


@FEW
@given(programs(smooth=True))
def test_planned_memory_of_gradients(p):
    g = simplify(lower(vjp(p, floats(p))))
    given = drawn(g, 0)
    made, found = run_planned(g, given)
    same_to_rounding(found, outputs_of(g, given))
    assert len(made.buffers) <= sum(len(n.outputs) for n in g.nodes)


def chain(length):
    def function(x):
        for _ in range(length):
            x = ops.tanh(ops.mul(x, 1.5))
        return x

    return trace(function, {"x": t(8, dtype=F32)})[0]


def test_a_chain_runs_in_one_buffer():
    p = chain(6)
    made = plan(p)
    assert made.buffers == (32,)
    assert p.input("x").value not in made.place
    assert p.outputs[0].value not in made.place, "results have memory of their own"


def test_a_donated_input_is_written_over():
    made = plan(chain(6), donate=["x"])
    assert made.nbytes == 0
    assert len(made.buffers) == 1


def test_views_keep_their_memory_alive():
    def function(x):
        a = ops.tanh(x)
        b = ops.reshape(a, (2, 4))
        c = ops.sin(a)  # not the last use of the memory: b reads it after
        return ops.add(ops.reshape(c, (2, 4)), b)

    p, _ = trace(function, {"x": t(8)})
    tanh, reshape, sin, again, _ = p.nodes
    made = plan(p, views={"reshape"})
    assert made.place[tanh.output] == made.place[reshape.output]
    assert made.place[sin.output] == made.place[again.output] != made.place[tanh.output]
    copied = plan(p)
    assert copied.place[sin.output] == copied.place[tanh.output]


def test_only_elementwise_nodes_overwrite():
    def function(x, w):
        y = ops.tanh(x)
        z = ops.contract(y, w, "i,io->o")
        return ops.reverse(ops.mul(z, z), (0,))

    p, _ = trace(function, {"x": t(3), "w": t(3, 3)})
    tanh, contract, mul, reverse = p.nodes
    assert not may_overwrite(contract, tanh.output)
    assert may_overwrite(mul, contract.output)
    assert not may_overwrite(reverse, mul.output)
    assert not may_overwrite(mul, tanh.output)
    made = plan(p)
    assert made.place[mul.output] == made.place[contract.output]


def test_peak_memory_of_a_batched_gradient_is_below_the_sum():
    def loss(x, w):
        return ops.reduce_sum(ops.tanh(bind(get("etp.matmul"), x, w)), (0,))

    p, _ = trace(loss, {"x": t(30), "w": t(30, 40)})
    g = batch_program(vjp(p, ["w"]), 8, {"x": 0, "ct_0": 0}, total={"grad"})
    s = simplify(lower(g))
    every = sum(v.type.nbytes for n in s.nodes for v in n.outputs)
    assert plan(s).nbytes < 0.5 * every
    assert set(last_uses(s)) == set(s.nodes)
    assert run(s, list(drawn(s, 0).values()))
