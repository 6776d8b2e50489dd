"""Every backend against the reference interpreter: primitives, loops, donation, aliasing."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etp_ir import Builder, Program, Role, ops, trace
from etp_ir.primitive import get
from etp_ir.tracer import literal
from etp_ir.types import BOOL, F32, F64, TensorType, type_of
from tests.backends.conformance import assert_equal, check_program, draw
from tests.backends.programs import programs
from tests.backends.sequences import leaky_program
from tests.ir import generate
from tests.ir.samples import SAMPLES, Sample

CASES = [
    pytest.param(name, s, id=f"{name}-{i}")
    for name, group in SAMPLES.items()
    for i, s in enumerate(group)
]


def program_of(name: str, sample: Sample) -> tuple[Program, dict[str, np.ndarray]]:
    """Return the program that applies a primitive once, and its arrays."""
    arrays = [np.asarray(x) for x in sample.operands if not isinstance(x, (bool, int, float))]
    dtypes = [type_of(a).dtype for a in arrays]
    beside = next((d for d in dtypes if d is not BOOL), dtypes[0] if dtypes else None)
    builder = Builder(name)
    named = {}
    operands = []
    for x in sample.operands:
        if isinstance(x, (bool, int, float)):
            operands.append(literal(x, beside))
        else:
            key = f"x{len(named)}"
            named[key] = np.asarray(x)
            operands.append(builder.input(key, type_of(np.asarray(x)), "input"))
    outs = builder.emit(get(name), operands, sample.attrs)
    return builder.finish([(v, Role("output", (str(i),))) for i, v in enumerate(outs)]), named


@pytest.mark.parametrize(("name", "sample"), CASES)
def test_primitive(backend, name, sample):
    if name == "foreign" and backend.name in ("strict", "cupy stand-in", "cupy"):
        pytest.skip("a foreign function runs where Python does")
    if name == "foreign" and backend.name in ("strict", "cupy stand-in", "cupy"):
        pytest.skip("a foreign function belongs to NumPy or to JAX")
    program, arrays = program_of(name, sample)
    check_program(backend, program, arrays)


DONATED = [(), ("h",), ("e", "h")]


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(programs(), st.sampled_from(DONATED), st.integers(0, 2**16))
def test_programs_hard_on_buffers(backend, program, donate, seed):
    check_program(backend, program, draw(program, np.random.default_rng(seed)), donate=donate)


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(generate.programs(smooth=False), st.data())
def test_programs_of_every_primitive(backend, program, data):
    check_program(backend, program, data.draw(generate.arguments(program)))


@pytest.mark.parametrize("steps", [0, 1, 4, 5])
@pytest.mark.parametrize("donate", DONATED)
def test_sequence(backend, steps, donate):
    """Carries in place and swapped, for an odd and an even number of steps."""
    program = leaky_program(steps)
    arrays = draw(program, np.random.default_rng(steps))
    found = check_program(backend, program, arrays, donate=donate)
    assert steps == 0 or np.abs(found["grad(cell.w)"]).min() > 0


def test_element_types(backend):
    for dtype in (F64, F32):
        program = leaky_program(3, dtype=dtype)
        check_program(backend, program, draw(program, np.random.default_rng(0)))


def test_outputs_survive_the_next_call(backend):
    program = leaky_program(3)
    run = backend.compile(program)
    rng = np.random.default_rng(1)
    first = run(draw(program, rng))
    kept = {k: np.array(backend.to_numpy(v)) for k, v in first.items()}
    second = run(draw(program, rng))
    for key, value in kept.items():
        assert_equal(backend.to_numpy(first[key]), value, key)
        assert not np.array_equal(backend.to_numpy(second[key]), value)


def test_an_output_that_is_an_input_is_its_own_array(backend):
    program, _ = trace(
        lambda x: (x, x, ops.permute(x, (1, 0)), 2.0), {"x": TensorType(F32, (2, 2))}
    )
    x = np.arange(4, dtype=np.float32).reshape(2, 2)
    out = backend.compile(program)({"x": x})
    results = [np.array(backend.to_numpy(v)) for v in out.values()]
    x[:] = 7
    for value, expected in zip(results, [[[0, 1], [2, 3]], [[0, 1], [2, 3]], [[0, 2], [1, 3]], 2.0],
                               strict=True):  # fmt: skip
        np.testing.assert_array_equal(value, np.asarray(expected, np.float32))


def test_state_fed_back_with_donation_is_the_loop(backend):
    """Ten donated steps by hand equal one program of ten steps."""
    rng = np.random.default_rng(5)
    long, short = leaky_program(10), leaky_program(1)
    arrays = draw(long, rng)
    expected = check_program(backend, long, arrays)
    step = backend.compile(short, donate=("h", "e"))
    state = {"h": arrays["h"].copy(), "e": arrays["e"].copy()}
    for t in range(10):
        given = {**arrays, **state, "xs": arrays["xs"][t : t + 1], "ys": arrays["ys"][t : t + 1]}
        out = step(given)
        state = {"h": out["state(h)"], "e": out["trace(e)"]}
    for name, key in (("h", "state(h)"), ("e", "trace(e)")):
        assert_equal(backend.to_numpy(state[name]), expected[key], key)
