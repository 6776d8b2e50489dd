"""What the array backends do to a program before they write source: order and tile."""

import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import etp_backends
from etp_backends.array import tile as tiling
from etp_backends.array.codegen import generate
from etp_backends.array.dialect import NUMPY
from etp_backends.array.order import order
from etp_backends.array.regions import fusible, regions
from etp_backends.array.tile import tile
from etp_ir import Role, ops, trace
from etp_ir.core import Value
from etp_ir.interpreter import evaluate
from etp_ir.types import F32, TensorType
from tests.backends.conformance import assert_equal, check_program, draw
from tests.backends.programs import programs
from tests.backends.sequences import leaky_program

QUICK = settings(max_examples=40, suppress_health_check=list(HealthCheck))


def same(before, after, seed=0):
    """Check that a pass keeps the meaning of a program."""
    arrays = draw(before, np.random.default_rng(seed))
    with np.errstate(all="ignore"):
        expected, found = evaluate(before, arrays), evaluate(after, arrays)
    for key, value in expected.items():
        assert_equal(found[key], value, key)


@pytest.fixture
def small_blocks(monkeypatch):
    """Tile everything that can be tiled."""
    monkeypatch.setattr(tiling, "LARGE", 0)
    monkeypatch.setattr(tiling, "BLOCK", 16)
    monkeypatch.setattr(tiling, "BLOCKS", range(1, 1 << 18))


def scans(program):
    return [node for node in program.walk() if node.primitive.name == "scan"]


# -- order -----------------------------------------------------------------------------------
@QUICK
@given(programs(), st.sampled_from([(), ("h", "e")]), st.integers(0, 2**16))
def test_order_keeps_the_meaning(program, donate, seed):
    found = order(program, NUMPY, donate)
    assert set(map(id, _plain(found))) == set(map(id, _plain(program)))
    same(program, found, seed)


def _plain(program):
    return [node for node in program.nodes if not node.regions]


def test_a_trace_is_read_before_it_is_overwritten():
    """The gradient reads the old trace, and stands after the update in the program."""

    def run(e, d, s):
        new = ops.add(ops.contract(d, e, "o,io->io"), 1.0)
        return new, ops.contract(s, e, "o,io->io")

    types = {"e": TensorType(F32, (3, 4)), "d": TensorType(F32, (4,)), "s": TensorType(F32, (4,))}
    roles = [Role("trace", ("e",)), Role("grad", ("w",))]
    program, _ = trace(run, types, outputs=roles)
    text = generate(program, donate=("e",)).text
    assert "trace_e = empty" not in text
    assert text.index("out=grad_w)") < text.index("out=e)")
    check_program(
        etp_backends.get("numpy"), program, draw(program, np.random.default_rng(0)), donate=("e",)
    )


def test_a_reader_that_needs_the_new_value_is_no_circle():
    def run(h):
        new = ops.tanh(h)
        return new, ops.add(new, h)

    program, _ = trace(run, {"h": TensorType(F32, (3,))})
    assert order(program, NUMPY, ("h",)) == program


# -- tile ------------------------------------------------------------------------------------
@QUICK
@given(programs())
def test_no_path_leaves_a_group_and_comes_back(program):
    nodes = program.nodes
    place = {value: i for i, node in enumerate(nodes) for value in node.outputs}
    below: list[set[int]] = []
    for node in nodes:
        direct = {place[x] for x in node.inputs if isinstance(x, Value) and x in place}
        below.append(direct.union(*(below[j] for j in direct)))
    groups = regions(nodes)
    assert sorted(i for g in groups for i in g) == [i for i, n in enumerate(nodes) if fusible(n)]
    for group in groups:
        inside = set(group)
        for i in group:
            for j in below[i] - inside:
                assert not below[j] & inside


@settings(QUICK, suppress_health_check=list(HealthCheck))
@given(program=programs(), seed=st.integers(0, 2**16))
def test_tile_keeps_the_meaning(small_blocks, program, seed):
    same(program, tile(program), seed)


def test_a_long_chain_needs_one_block_of_memory():
    def chain(x, y, bias, scale):
        z = ops.add(x, ops.broadcast(bias, x.shape, (2,)))
        z = ops.mul(z, ops.broadcast(scale, x.shape, (0,)))
        for _ in range(4):
            z = ops.add(ops.tanh(ops.mul(z, y)), ops.sub(1.0, z))
        return ops.mul(z, ops.contract(y, bias, "tbi,i->tbi"))

    shape = (100, 16, 256)
    types = {"x": TensorType(F32, shape), "y": TensorType(F32, shape),
             "bias": TensorType(F32, (256,)), "scale": TensorType(F32, (100,))}  # fmt: skip
    program, _ = trace(chain, types)
    source = generate(program)
    assert "# scan of 25 steps" in source.text
    # The result, and a handful of blocks of 64 KiB.
    assert source.workspace < program.outputs[0].type.nbytes + 6 * (1 << 16)
    arrays = draw(program, np.random.default_rng(0))
    check_program(etp_backends.get("numpy"), program, arrays)


def test_small_arrays_are_not_tiled():
    program = leaky_program(8, batch=16, inputs=32, units=64)
    assert len(scans(tile(program))) == len(scans(program)) == 1


def test_tiles_of_a_scan_body(small_blocks):
    program = leaky_program(3, batch=4)
    tiled = tile(program)
    assert len(scans(tiled)) > len(scans(program))
    assert re.search(r"def tile_step", generate(program).text)
    check_program(
        etp_backends.get("numpy"), program, draw(program, np.random.default_rng(0)),
        donate=("h", "e"),
    )  # fmt: skip
