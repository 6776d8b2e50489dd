"""Which elements of an input reach which of the result, against the Jacobian."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from etp.compiler.pattern import Pattern
from etp.compiler.positions import known_values
from etp_ir.interpreter import evaluate
from etp_ir.transforms import vjp
from tests.primitives.drawn import PRIMITIVES, Drawn
from tests.primitives.test_battery import few, traced

NAMES = [name for name in sorted(PRIMITIVES) if not name.startswith("etp.embedding")]


@pytest.mark.parametrize("name", NAMES)
def test_sets_are_those_of_the_jacobian(name: str) -> None:
    sparse = []

    @few(12)
    @given(PRIMITIVES[name])
    def run(drawn: Drawn) -> None:
        program, arrays = traced(drawn)
        ports = {p.name: p.value for p in program.inputs}
        constants = {n: a for n, a in arrays.items() if n != "x" and n not in drawn.weights}
        result = program.outputs[0].value
        # Read as the one state of a step: its new value is the result.
        state = {"y": (result, result)}
        pattern = Pattern(program, state, known_values(program, constants))
        for n in drawn.weights:
            pattern.support.setdefault(ports[n], np.ones(drawn.weights[n].shape, bool))
        found = pattern.within(ports["x"], "y")
        rows = []
        pulled = vjp(program, ["x"])
        shape = program.outputs[0].type.shape
        for unit in np.eye(int(np.prod(shape, dtype=int))):
            out = evaluate(pulled, {**arrays, "ct_0": unit.reshape(shape)})
            rows.append(out["grad(x)"].ravel())
        np.testing.assert_array_equal(found, np.abs(rows) > 1e-13)
        sparse.append(found.mean() < 1)

    run()
    if name not in ("etp.matmul (low rank)",):
        assert any(sparse)
