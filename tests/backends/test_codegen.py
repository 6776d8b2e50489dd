"""The generated source: what it says, that it never changes by itself, that it is right."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import etp_backends
from etp_backends.array import kernels, standard
from etp_backends.array.codegen import generate
from etp_backends.array.dialect import CUPY, NUMPY
from etp_backends.array.kernels import UFUNC, kernel_of
from etp_backends.array.refs import reshaped_strides, row_major
from etp_backends.array.slots import Slots
from etp_backends.array.standard import RULES
from etp_backends.array.views import RULES as VIEWS
from etp_ir import Builder, LoweringError, Role, Tracer, ops, trace
from etp_ir.core import Node
from etp_ir.primitive import REGISTRY, Primitive, get
from etp_ir.tracer import bind
from etp_ir.types import F32, F64, TensorType
from tests.backends.conformance import check_program, draw
from tests.backends.conftest import StandIn
from tests.backends.sequences import leaky_program

GOLDEN = Path(__file__).parent / "golden"


def statements(text: str) -> list[str]:
    """Return the lines that compute, without comments."""
    lines = [line.split("  #")[0].strip() for line in text.splitlines()]
    return [x for x in lines if re.match(r"\w+\(", x)]


def function(f, *shapes, dtype=F32):
    names = "xyzw"
    return trace(f, {n: TensorType(dtype, s) for n, s in zip(names, shapes, strict=False)})[0]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("sequence.standard", {"profile": "standard"}),
        ("sequence.numpy", {"profile": "numpy_like", "dialect": NUMPY}),
        ("sequence.numpy.donated", {"profile": "numpy_like", "donate": ("h", "e")}),
        ("sequence.cupy", {"profile": "numpy_like", "dialect": CUPY}),
    ],
)
def test_golden(name, options):
    """Regenerate with ``GOLDEN=1 pytest tests/backends/test_codegen.py`` and read the diff."""
    text = generate(leaky_program(), **options).text
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


def test_the_source_is_the_same_in_another_process():
    code = (
        "from etp_backends.array.codegen import generate\n"
        "from tests.backends.sequences import leaky_program\n"
        "print(generate(leaky_program()).text, end='')"
    )
    root = Path(__file__).resolve().parents[2]
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed,
               "PYTHONPATH": os.pathsep.join([str(root), str(root / "backends")])}  # fmt: skip
        ran = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
        )
        assert ran.stdout == generate(leaky_program()).text


def test_every_core_primitive_has_a_kernel_and_an_expression():
    # A foreign function is whatever it is: no source can be generated for it.
    names = [name for name, p in REGISTRY.items() if p.lower is None and name != "foreign"]
    core = [Node(REGISTRY[name], (), ()) for name in names]
    plain = {n.primitive.name for n in core if kernel_of(n) is UFUNC}
    # What costs nothing in planned buffers: views and constants.
    free = {*kernels.STRUCTURED, *VIEWS, "iota", "table"}
    for node in core:
        name = node.primitive.name
        assert name in free or kernel_of(node) is not None, name
        assert name in {*RULES, *plain, *standard.STRUCTURED, "iota", "table"}, name


# -- contractions --------------------------------------------------------------------------
FORMS = {
    "bi,io->bo": ["matmul(x, y, out=output_0)"],
    "tbi,tbo->io": ["matmul(x_view_view, y_view, out=output_0)"],
    "bo,io->bi": ["matmul(x, y_view, out=output_0)"],
    "tbi,tbo->bio": ["matmul(x_view, y_view, out=output_0)"],
    "bo,bio->io": ['einsum("bo,bio->io", x, y, out=output_0)'],
    "bi,bo->bio": ["multiply(x_view, y_view, out=output_0)"],
    "bo,bio->bio": ["multiply(x_view, y, out=output_0)"],
    "bi,bio->bo": ["matmul(x_view, y, out=output_0_view)"],
    "i,io->o": ["matmul(x_view, y, out=output_0_view)"],
    "bo,bo->b": ["matmul(x_view, y_view, out=output_0_view)"],
}


@pytest.mark.parametrize("spec", FORMS)
def test_a_contraction_is_one_call(spec):
    """Transposes are views, several summed letters merge into one axis, nothing is copied."""
    sizes = {"t": 5, "b": 3, "i": 6, "o": 7}
    x, y = (tuple(sizes[c] for c in term) for term in spec.split("->")[0].split(","))
    program = function(lambda x, y: ops.contract(x, y, spec), x, y)
    assert statements(generate(program).text) == FORMS[spec]


def test_a_transposed_weight_is_copied_once_outside_of_the_loop():
    b = Builder("body")
    w = Tracer(b, b.input("w", TensorType(F32, (128, 128)), "const"))
    h = Tracer(b, b.input("h", TensorType(F32, (16, 128)), "carry"))
    new = ops.tanh(ops.contract(h, w, "bo,io->bi"))
    body = b.finish([(new.value, "carry")])

    def run(w, h):
        return bind(get("scan"), w, h, body=body, length=9, consts=1, carries=1, reverse=False)

    types = {"w": TensorType(F32, (128, 128)), "h": TensorType(F32, (16, 128))}
    program, _ = trace(run, types)
    text = generate(program).text
    assert text.index("copyto(w_view_copy, w_view)") < text.index("def body_step")
    check_program(etp_backends.get("numpy"), program, _small(program))


def test_a_constant_that_needs_a_copy_is_copied_once_outside_of_the_loop():
    b = Builder("body")
    w = Tracer(b, b.input("w", TensorType(F32, (5, 6, 7)), "const"))
    h = Tracer(b, b.input("h", TensorType(F32, (2, 6)), "carry"))
    v = ops.contract(h, w, "bi,oip->bop")
    new = ops.tanh(ops.contract(v, w, "bop,oip->bi"))
    body = b.finish([(new.value, "carry")])

    def run(w, h):
        return bind(get("scan"), w, h, body=body, length=3, consts=1, carries=1, reverse=False)

    types = {"w": TensorType(F32, (5, 6, 7)), "h": TensorType(F32, (2, 6))}
    program, _ = trace(run, types)
    outside, inside = generate(program).text.split("def body_step")
    assert "copyto(w_view_copy, w_view)" in outside
    assert "_copy, w" not in inside
    check_program(etp_backends.get("numpy"), program, _small(program))


def test_a_copy_kept_outside_of_a_loop_is_not_overwritten_inside():
    """The body frees memory before it needs the copy, and writes there again in the next step."""
    b = Builder("body")
    w = Tracer(b, b.input("w", TensorType(F32, (128, 128)), "const"))
    h = Tracer(b, b.input("h", TensorType(F32, (16, 128)), "carry"))
    v = ops.tanh(ops.add(ops.contract(h, w, "bi,io->bo"), ops.contract(ops.sin(h), w, "bi,io->bo")))
    new = ops.tanh(ops.contract(v, w, "bo,io->bi"))
    body = b.finish([(new.value, "carry")])

    def run(w, h):
        return bind(get("scan"), w, h, body=body, length=9, consts=1, carries=1, reverse=False)

    types = {"w": TensorType(F32, (128, 128)), "h": TensorType(F32, (16, 128))}
    program, _ = trace(run, types)
    assert "copyto(w_view_copy, w_view)" in generate(program).text.split("def body_step")[0]
    check_program(etp_backends.get("numpy"), program, _small(program))


def _small(program):
    return {k: 0.1 * v for k, v in draw(program, np.random.default_rng(3)).items()}


@st.composite
def contractions(draw):
    """A spec over six letters, extents of 1 to 5, and an order of axes in memory for each term."""
    letters = "abcdef"
    x = "".join(draw(st.permutations(letters))[: draw(st.integers(0, 4))])
    y = "".join(draw(st.permutations(letters))[: draw(st.integers(0, 4))])
    out = "".join(draw(st.permutations(sorted(set(x + y))))[: draw(st.integers(0, 4))])
    sizes = {c: draw(st.sampled_from([1, 2, 3, 5])) for c in letters}
    orders = [draw(st.permutations(range(len(term)))) for term in (x, y)]
    return f"{x},{y}->{out}", sizes, orders


@settings(max_examples=150)
@given(contractions(), st.sampled_from(["numpy", "stand-in"]), st.integers(0, 2**16))
def test_contractions_of_any_layout(case, which, seed):
    spec, sizes, orders = case
    terms = spec.split("->")[0].split(",")
    # The arrays lie in memory in the given order; the program sees them permuted.
    shapes = [
        tuple(sizes[term[i]] for i in order) for term, order in zip(terms, orders, strict=True)
    ]

    def run(x, y):
        moved = [
            ops.permute(a, [order.index(i) for i in range(len(order))])
            for a, order in zip((x, y), orders, strict=True)
        ]
        return ops.contract(*moved, spec)

    program = function(run, *shapes, dtype=F64)
    backend = StandIn() if which == "stand-in" else etp_backends.get("numpy")
    check_program(backend, program, draw(program, np.random.default_rng(seed)))


# -- memory --------------------------------------------------------------------------------
def test_a_chain_needs_no_memory_but_its_result():
    def chain(x):
        for _ in range(20):
            x = ops.tanh(ops.mul(x, 0.5))
        return x

    source = generate(function(chain, (64, 64)))
    assert source.workspace == 0
    assert "slot(" not in source.text


def test_working_memory_is_reused():
    def run(x, y):
        for _ in range(30):
            y = ops.contract(y, x, "bi,io->bo")
        return y

    source = generate(function(run, (16, 16), (8, 16)))
    assert source.workspace == 2 * 8 * 16 * 4


@pytest.mark.parametrize("swap", [False, True])
def test_a_buffer_is_not_written_while_its_reverse_is_read(swap):
    def run(x):
        y = ops.tanh(x)
        terms = (ops.reverse(y, (0,)), y)
        z = ops.sub(*(reversed(terms) if swap else terms))
        return ops.reduce_sum(ops.exp(ops.permute(ops.sin(z), (1, 0))), (0,))

    program = function(run, (3, 3))
    check_program(StandIn(), program, draw(program, np.random.default_rng(0)))


def test_carries_stay_in_place_where_that_is_legal():
    text = generate(leaky_program(), donate=("h", "e")).text
    step = text.split("def leaky_step")[1].split("for t in")[0]
    assert "out=e)" in step
    assert "out=grad_cell_w)" in step
    assert "return (loss, grad_cell_w, output_0, h, e)" in text


def test_best_fit_and_growth_of_slots():
    slots = Slots()
    small, large = slots.take(64), slots.take(640)
    slots.give(small)
    slots.give(large)
    assert slots.take(100) is large
    assert slots.take(1000) is small
    assert small.nbytes == 1024
    assert len(slots.all) == 2


@given(st.lists(st.sampled_from([1, 2, 3, 4]), min_size=1, max_size=4), st.data())
def test_reshaped_strides_are_those_of_numpy(shape, data):
    size = int(np.prod(shape))
    order = data.draw(st.permutations(range(len(shape))))
    base = np.arange(size).reshape(shape).transpose(order)
    new = data.draw(st.permutations(data.draw(st.sampled_from(_factorings(size)))))
    strides = tuple(s // base.itemsize for s in base.strides)
    found = reshaped_strides(base.shape, strides, new)
    reshaped = base.reshape(new)
    copied = not np.shares_memory(base, reshaped)
    assert (found is None) == copied
    if found is not None:
        seen = np.lib.stride_tricks.as_strided(base, new, [s * base.itemsize for s in found])
        np.testing.assert_array_equal(seen, reshaped)


def _factorings(size):
    found = [(size,), (1, size)]
    for a in range(2, size):
        if size % a == 0:
            found += [(a, size // a), *((a, *rest) for rest in _factorings(size // a))]
    return found


def test_row_major_strides():
    assert row_major((2, 3, 4)) == (12, 4, 1)
    assert row_major(()) == ()


# -- what cannot be expressed ----------------------------------------------------------------
def stranger():
    """A program that applies a primitive no one has a kernel for."""
    primitive = Primitive(
        name="stranger", infer=lambda x: x.type, reference=lambda x: np.sort(x, axis=0)
    )
    b = Builder("p")
    x = b.input("x", TensorType(F32, (4, 2)), "input")
    y = b.emit(primitive, [x], {})[0]
    return b.finish([(y, Role("output", ("0",)))])


def test_a_primitive_without_a_kernel_runs_by_its_reference_on_numpy():
    check_program(etp_backends.get("numpy"), stranger(), draw(stranger(), np.random.default_rng(0)))


@pytest.mark.parametrize(("profile", "dialect"), [("standard", NUMPY), ("numpy_like", CUPY)])
def test_a_primitive_without_a_kernel_is_named(profile, dialect):
    with pytest.raises(LoweringError, match=r"`stranger` has no array .*; give it a lowering"):
        generate(stranger(), profile, dialect=dialect)
