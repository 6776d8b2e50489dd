"""Calls of functions that are no programs."""

import numpy as np
import pytest

from etp_ir import LoweringError, NotSupportedError, TypeRuleError, ops, trace
from etp_ir.interpreter import evaluate
from etp_ir.parser import parse
from etp_ir.primitives import foreign
from etp_ir.printer import to_text
from etp_ir.transforms import vjp
from etp_ir.transforms.batch import batch_program
from etp_ir.types import F64, TensorType
from etp_ir.verify import verify

foreign.define("tests.polar", lambda x, y: (np.hypot(x, y).sum(keepdims=True), np.arctan2(y, x)))
X = TensorType(F64, (3,))


def program(function="tests.polar"):
    def body(x, y):
        r, angle = ops.foreign(x, y, function=function, types=("f64[1]", "f64[3]"))
        return r, ops.mul(2.0, angle)

    return trace(body, {"x": X, "y": X})[0]


def test_a_call_is_a_node_like_any_other():
    p = verify(program())
    text = to_text(p)
    assert 'foreign %x, %y {function = "tests.polar", types = ["f64[1]", "f64[3]"]}' in text
    assert parse(text) == p
    x, y = np.arange(3.0), np.ones(3)
    r, angle = evaluate(parse(text), {"x": x, "y": y}).values()
    np.testing.assert_allclose(r, [np.hypot(x, y).sum()])
    np.testing.assert_allclose(angle, 2 * np.arctan2(y, x))


def test_a_batch_is_a_call_for_each_example():
    """The sum over the whole array must not reach over examples."""
    x, y = np.random.default_rng(0).normal(size=(2, 4, 3))
    batched = batch_program(program(), 4, {"x": 0})
    r, angle = evaluate(batched, {"x": x, "y": y[0]}).values()
    np.testing.assert_allclose(r, np.hypot(x, y[0]).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(angle, 2 * np.arctan2(y[0], x))


def test_a_name_keeps_its_first_meaning():
    foreign.define("tests.polar", lambda x, y: (x, y))
    assert evaluate(program(), {"x": np.ones(3), "y": np.zeros(3)})["output(0)"] == [3.0]


def test_what_is_not_defined_here_says_how_to_mend_it():
    with pytest.raises(
        LoweringError, match=r"no foreign function 'tests.other'(.|\n)*define it with"
    ):
        evaluate(program("tests.other"), {"x": np.ones(3), "y": np.ones(3)})


def test_there_is_no_silent_derivative():
    with pytest.raises(NotSupportedError, match="derivative of the foreign function 'tests.polar'"):
        vjp(program(), ["x"])


def test_operands_are_arrays_and_types_are_types():
    with pytest.raises(TypeRuleError, match="takes arrays, not literals"):
        trace(lambda x: ops.foreign(x, 1.0, function="f", types=("f64[3]",)), {"x": X})
    with pytest.raises(TypeRuleError, match="'f65' is not a tensor type"):
        trace(lambda x: ops.foreign(x, function="f", types=("f65",)), {"x": X})
