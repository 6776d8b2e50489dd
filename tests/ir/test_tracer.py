"""Tracing: what ends in an error says where the user's line is; constants are captured once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from etp_ir import (
    Builder,
    Literal,
    Program,
    Role,
    ShapeError,
    TensorType,
    TraceError,
    Tracer,
    TypeRuleError,
    ops,
    trace,
)  # fmt: skip
from etp_ir.interpreter import evaluate
from etp_ir.primitive import get
from etp_ir.tracer import bind, replay
from etp_ir.types import BOOL, F32, F64, I32
from etp_ir.verify import verify

VECTOR = TensorType(F32, (3,))


def failing(function: Callable[..., Any], *, line: int, **types: TensorType) -> str:
    """Return the error of tracing, having checked that it names the line of the function."""
    with pytest.raises((TraceError, TypeRuleError)) as caught:
        trace(function, types or {"x": VECTOR}, name="step")
    place = f"{__file__}:{function.__code__.co_firstlineno + line} in {function.__qualname__}"
    assert f"at {place}" in str(caught.value), str(caught.value)
    return str(caught.value)


# -- what only a concrete array can do -----------------------------------------------------
def test_python_cannot_branch_on_a_traced_value() -> None:
    def step(x: Any) -> Any:
        y = ops.tanh(x)
        if y:
            return y
        return x

    message = failing(step, line=2)
    assert message.startswith("a traced value has no truth value, so Python cannot branch on it")
    assert "traced value of type f32[3]" in message
    for mend in ("use xp.where(condition, a, b)", "etp.cond(condition", "etp.while_loop(test"):
        assert mend in message


def test_neither_do_comparisons_and_connectives() -> None:
    def step(x: Any) -> Any:
        return x if ops.gt(x, 0.0) and True else -x

    def loop(x: Any) -> Any:
        while ops.lt(x, 1.0):
            x = ops.add(x, 1.0)
        return x

    assert "traced value of type bool[3]" in failing(step, line=1)
    assert "traced value of type bool[3]" in failing(loop, line=1)


@pytest.mark.parametrize("convert", [float, int, complex, range, lambda x: [1, 2][x], math.sqrt])
def test_a_traced_value_is_not_a_number(convert: Callable[[Any], Any]) -> None:
    def step(x: Any) -> Any:
        return convert(x)

    with pytest.raises(TraceError) as caught:
        trace(step, {"x": TensorType(F32)})
    assert str(caught.value).startswith("a traced value is not a number yet")
    assert f"at {__file__}:" in str(caught.value)
    assert str(caught.value).endswith("keep it as an array and use functions of xp")


@pytest.mark.parametrize("convert", [np.asarray, np.array, np.float32])
def test_a_traced_value_does_not_become_a_numpy_array(convert: Callable[[Any], Any]) -> None:
    def step(x: Any) -> Any:
        return convert(x)

    message = failing(step, line=1)
    assert message.startswith("a traced value cannot become a NumPy array")
    assert message.endswith("use functions of etp.xp on it")


def test_a_traced_array_is_not_changed_in_place() -> None:
    def step(x: Any) -> Any:
        x[0] = 1.0
        return x

    message = failing(step, line=1)
    assert message.startswith("a traced array cannot be changed in place")
    assert message.endswith("build a new one with xp.where, xp.concat or xp.stack")


def test_a_traced_scalar_has_no_length() -> None:
    with pytest.raises(TypeRuleError, match="a scalar has no length"):
        trace(lambda x: len(x), {"x": TensorType(F32)})
    seen: list[int] = []
    trace(lambda x: seen.append(len(x)) or x, {"x": TensorType(F32, (4, 2))})
    assert seen == [4]


# -- wrong operands ------------------------------------------------------------------------
def test_operands_that_do_not_fit_are_shown_with_the_line() -> None:
    def step(x: Any, y: Any) -> Any:
        z = ops.neg(x)
        return ops.add(z, y)

    message = failing(step, line=2, x=VECTOR, y=TensorType(F32, (5,)))
    assert message.startswith("`add` needs equal shapes, got f32[3] and f32[5]")
    assert "in `add f32[3], %y: f32[5]`" in message


def test_the_class_of_the_error_is_kept() -> None:
    with pytest.raises(ShapeError, match=r"`etp\.matmul` got an input of width 3"):
        trace(
            lambda x, w: bind(get("etp.matmul"), x, w), {"x": VECTOR, "w": TensorType(F32, (2, 2))}
        )


def test_a_fraction_beside_integers_is_refused() -> None:
    with pytest.raises(TypeRuleError, match=r"0\.5 is not a number of type i32; use xp\.astype"):
        trace(lambda i: ops.mul(i, 0.5), {"i": TensorType(I32, (3,))})
    for number in (math.inf, math.nan):
        with pytest.raises(TypeRuleError, match="is not a number of type i32"):
            trace(lambda i, n=number: ops.mul(i, n), {"i": TensorType(I32, (3,))})
    program, _ = trace(lambda i: ops.mul(i, 2.0), {"i": TensorType(I32, (3,))})
    assert program.nodes[0].inputs[1] == Literal(2, I32)


# -- two traces ----------------------------------------------------------------------------
def test_values_of_two_traces_do_not_meet() -> None:
    kept: list[Any] = []

    def first(x: Any) -> Any:
        kept.append(x)
        return x

    def second(x: Any) -> Any:
        return ops.add(x, kept[0])

    trace(first, {"x": VECTOR}, name="first")
    with pytest.raises(TraceError) as caught:
        trace(second, {"x": VECTOR}, name="second")
    message = str(caught.value)
    assert message.startswith("a value traced in @second met one traced in @first")
    assert f"at {__file__}:{second.__code__.co_firstlineno + 1} in {second.__qualname__}" in message
    assert message.endswith("pass it as an argument instead of keeping it")


# -- captured constants --------------------------------------------------------------------
def test_a_captured_array_becomes_one_constant_of_the_type_of_the_trace() -> None:
    scale = np.array([1.0, 2.0, 0.1])
    table = np.array([0, 2, 1], np.int8)

    def step(x: Any) -> Any:
        return ops.gather(ops.add(ops.mul(x, scale), scale), table, 0)

    program, bindings = trace(step, {"x": VECTOR})
    assert [(p.name, str(p.type), str(p.role)) for p in program.inputs] == [
        ("x", "f32[3]", "input"), ("c", "f32[3]", "const"), ("c1", "i32[3]", "const"),
    ]  # fmt: skip
    assert list(bindings) == ["c", "c1"]
    assert bindings["c"].dtype == np.float32
    x = np.array([3.0, -1.0, 2.0], np.float32)
    (result,) = evaluate(verify(program), {"x": x, **bindings}).values()
    np.testing.assert_array_equal(result, (x * bindings["c"] + bindings["c"])[table])

    wide, bindings = trace(step, {"x": TensorType(F64, (3,))})
    assert str(wide.input("c").type) == "f64[3]"
    np.testing.assert_array_equal(bindings["c"], scale)


def test_a_captured_constant_takes_a_free_name() -> None:
    other = np.ones(3)
    program, bindings = trace(lambda c: ops.add(c, other), {"c": VECTOR})
    assert [p.name for p in program.inputs] == ["c", "c1"]
    assert list(bindings) == ["c1"]
    verify(program)


def test_equal_but_distinct_arrays_are_two_constants() -> None:
    a, b = np.ones(3), np.ones(3)
    program, bindings = trace(lambda x: ops.add(ops.mul(x, a), b), {"x": VECTOR})
    assert len(bindings) == 2
    assert len(program.inputs) == 3


# -- trace ---------------------------------------------------------------------------------
def test_trace_gives_inputs_outputs_and_sources() -> None:
    def step(x: Any, h: Any) -> Any:
        new = ops.tanh(ops.add(x, h))
        return new, ops.reduce_sum(new, (0,))

    program, bindings = trace(
        step, {"x": VECTOR, "h": VECTOR}, name="cell.step", roles={"h": Role("state")},
        outputs=[Role("state", ("h",)), "loss"],
    )  # fmt: skip
    assert bindings == {}
    assert isinstance(program, Program)
    assert program.name == "cell.step"
    assert [str(p.role) for p in program.inputs] == ["input", "state"]
    assert [(o.key, str(o.type)) for o in program.outputs] == [
        ("state(h)", "f32[3]"), ("loss", "f32[]"),
    ]  # fmt: skip
    lines = [n.source.line - step.__code__.co_firstlineno for n in program.nodes if n.source]
    assert lines == [1, 1, 2]
    verify(program, "traced")


def test_outputs_without_roles_are_numbered_and_numbers_are_literals() -> None:
    program, _ = trace(lambda x: [x, 2, True, 0.5], {"x": TensorType(F64, (2,))})
    assert [(o.key, str(o.type)) for o in program.outputs] == [
        ("output(0)", "f64[2]"), ("output(1)", "i32[]"), ("output(2)", "bool[]"),
        ("output(3)", "f64[]"),
    ]  # fmt: skip
    assert program.outputs[2].value == Literal(True, BOOL)


def test_the_width_of_constants_can_be_chosen() -> None:
    program, bindings = trace(
        lambda i: (i, np.ones(2)), {"i": TensorType(I32, (2,))}, float_dtype=F64
    )
    assert bindings["c"].dtype == np.float64
    assert program.output("output(1)").type == TensorType(F64, (2,))


@pytest.mark.parametrize(
    ("result", "shown"), [(None, "None"), ((1.0, None), "2 results"), ((1.0, 2.0), "2 results")]
)
def test_wrong_results_are_named(result: Any, shown: str) -> None:
    with pytest.raises(TraceError, match=f"@step returned {shown} where 1 arrays were expected"):
        trace(lambda x: result, {"x": VECTOR}, name="step", outputs=["loss"])


def test_replay_appends_the_nodes_of_a_program() -> None:
    program, _ = trace(lambda x: ops.mul(ops.tanh(x), 2.0), {"x": VECTOR})
    builder = Builder("twice")
    x = Tracer(builder, builder.input("x", VECTOR, "input"))
    (once,) = replay(program, builder, [x])
    (twice,) = replay(program, builder, [once])
    double = verify(builder.finish([(twice.value, "loss")]))
    array = np.array([0.5, -2.0, 0.0], np.float32)
    expected = 2 * np.tanh(2 * np.tanh(array))
    np.testing.assert_allclose(evaluate(double, {"x": array})["loss"], expected, rtol=1e-6)
    assert double.nodes[2].source == program.nodes[0].source


def test_concrete_operands_are_computed_at_once() -> None:
    result = ops.add(np.array([1.0, 2.0]), 0.5)
    assert isinstance(result, np.ndarray)
    np.testing.assert_array_equal(result, [1.5, 2.5])
