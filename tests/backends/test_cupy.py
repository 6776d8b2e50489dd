"""The CuPy backend: all that can be checked without a device, and on one what needs it.

The battery in `test_conformance` runs the source generated for CuPy twice: on NumPy arrays
everywhere, and on CuPy where a device answers.
"""

import re
from importlib.util import find_spec

import numpy as np
import pytest

import etp_backends
from etp_backends.array.codegen import generate
from etp_backends.array.dialect import CUPY
from etp_backends.registry import BackendError
from etp_ir import LoweringError
from tests.backends.conformance import draw
from tests.backends.sequences import leaky_program
from tests.backends.test_conformance import CASES, program_of


def device():
    if not find_spec("cupy"):
        return False
    import cupy

    return bool(cupy.cuda.is_available())


needs_device = pytest.mark.skipif(not device(), reason="no CuPy with a CUDA device")


def names_used():
    """Return every name that generated source takes from the namespace."""
    found = set()
    for case in CASES:
        if case.values[0] == "foreign":
            continue
        text = generate(program_of(*case.values)[0], dialect=CUPY).text
        found.update(re.findall(r"\bxp\.([\w.]+)", text))
    return found


def test_the_source_uses_nothing_that_only_numpy_has():
    used = names_used()
    assert {"add", "matmul", "copyto", "take", "add.at"} <= used
    assert not {"einsum", "add.reduce", "maximum.reduce"} & used


def test_cupy_has_every_name_in_use():
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    standard = pytest.importorskip("array_api_compat.cupy")
    from etp_backends.cupy.backend import Namespace

    namespace = Namespace(cupy, standard)
    for name in sorted(names_used()):
        owner = namespace
        for part in name.split("."):
            owner = getattr(owner, part)


@pytest.mark.skipif(device(), reason="a device answers")
def test_without_a_device_there_is_one_error():
    reason = "finds no CUDA device" if find_spec("cupy") else "needs the package 'cupy'"
    with pytest.raises(BackendError, match=f"backend 'cupy' {reason}"):
        etp_backends.get("cupy")


@pytest.mark.gpu
@needs_device
def test_arrays_stay_on_the_device():
    import cupy

    backend = etp_backends.get("cupy")
    program = leaky_program(4)
    arrays = {k: backend.asarray(v) for k, v in draw(program, np.random.default_rng(0)).items()}
    out = backend.compile(program, donate=("h", "e"))(arrays)
    assert all(isinstance(v, cupy.ndarray) for v in out.values())
    assert out["trace(e)"].data.ptr == arrays["e"].data.ptr


@pytest.mark.gpu
@needs_device
def test_a_primitive_without_a_kernel_is_refused():
    from tests.backends.test_codegen import stranger

    with pytest.raises(LoweringError, match="`stranger` has no array kernel"):
        etp_backends.get("cupy").compile(stranger())
