"""Every backend against the reference interpreter: primitives, loops, donation, aliasing."""

import numpy as np
import pytest

from etp_ir import Builder, Program
from etp_ir.primitive import get
from etp_ir.tracer import literal
from etp_ir.types import BOOL, type_of
from tests.backends.conformance import check_program
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
    return builder.finish([(v, f"output({i})") for i, v in enumerate(outs)]), named


@pytest.mark.parametrize(("name", "sample"), CASES)
def test_primitive(backend, name, sample):
    program, arrays = program_of(name, sample)
    check_program(backend, program, arrays)
