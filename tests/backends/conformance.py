"""One question to every backend: does it compute what the reference interpreter computes?"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from etp_ir import Program
from etp_ir.backend import Backend
from etp_ir.interpreter import evaluate

# Relative to the largest element of the reference: sums are ordered differently.
TOLERANCE = {"f64": 1e-11, "f32": 2e-5, "f16": 2e-2}


def draw(program: Program, rng: np.random.Generator) -> dict[str, Any]:
    """Return an array for each input: normal, small integers, words or booleans."""
    arrays: dict[str, Any] = {}
    for port in program.inputs:
        shape, dtype = port.type.shape, port.type.dtype
        data: Any
        if dtype.kind == "bool":
            data = rng.random(shape) < 0.5
        elif dtype.kind == "uint":
            data = rng.integers(0, 2**32, shape)
        elif dtype.kind == "int":
            data = rng.integers(0, 3, shape)
        else:
            data = rng.standard_normal(shape)
        arrays[port.name] = np.asarray(data, dtype.numpy())
    return arrays


def assert_equal(found: Any, expected: Any, where: str) -> None:
    """Compare an output with the reference: shape, element type, NaNs, numbers."""
    expected = np.asarray(expected)
    found = np.asarray(found)
    assert found.shape == expected.shape, where
    assert found.dtype == expected.dtype, where
    if expected.dtype.kind != "f":
        np.testing.assert_array_equal(found, expected, err_msg=where)
        return
    name = {2: "f16", 4: "f32", 8: "f64"}[expected.dtype.itemsize]
    finite = expected[np.isfinite(expected)]
    scale = max(1.0, float(np.abs(finite).max())) if finite.size else 1.0
    np.testing.assert_allclose(
        found, expected, rtol=TOLERANCE[name], atol=TOLERANCE[name] * scale, err_msg=where
    )


def check_program(
    backend: Backend, program: Program, arrays: Mapping[str, Any], *, donate: Any = ()
) -> dict[str, Any]:
    """Compile and run a program, compare it with the reference, and return its outputs."""
    with np.errstate(all="ignore"):
        expected = evaluate(program, arrays)
    executable = backend.compile(program, donate=donate)
    given = {k: np.array(v) for k, v in arrays.items()}
    found = {k: backend.to_numpy(v) for k, v in executable(given).items()}
    assert list(found) == list(expected)
    for key, value in expected.items():
        assert_equal(found[key], value, f"{key} of @{program.name} on {backend.name}")
    return found
