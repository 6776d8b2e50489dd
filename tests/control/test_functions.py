"""The functions by themselves: traced and eager alike, in every structure, with errors of ours."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

import etp
from etp import xp
from etp_ir import trace
from etp_ir.interpreter import evaluate
from etp_ir.types import F64, I32, TensorType
from etp_ir.verify import verify


class Pair(NamedTuple):
    """A structure of one's own."""

    a: object
    b: object


def t(*shape):
    return TensorType(F64, shape)


V = np.asarray([0.5, -1.5, 2.0])
M = np.arange(12.0).reshape(4, 3) / 10
FUNCTIONS = {
    "cond": lambda v, m: etp.cond(xp.sum(v) > 0, lambda: v * 2, lambda: xp.log(v)),
    "cond operands": lambda v, m: etp.cond(v[0] > 1, lambda a, b: a, lambda a, b: b, v, m[1]),
    "cond tree": lambda v, m: etp.cond(
        v[0] > 0, lambda: {"a": (v, None), "b": [xp.sum(m)]}, lambda: {"a": (m[0], None), "b": [0]}
    )["a"][0],
    "cond numbers": lambda v, m: v * etp.cond(v[0] > 0, lambda: 2, lambda: 0.5),
    "cond number and array": lambda v, m: etp.cond(v[0] < 0, lambda: v, lambda: 1.0),
    "scan": lambda v, m: etp.scan(lambda c, x: (0.5 * c + x, c * x), v, m),
    "scan rolled": lambda v, m: etp.scan(lambda c, x: (0.5 * c + x, c * x), v, m, unroll=0),
    "scan reverse": lambda v, m: etp.scan(lambda c, x: (c - x, c), v, m, reverse=True, unroll=0),
    "scan reverse unrolled": lambda v, m: etp.scan(lambda c, x: (c - x, c), v, m, reverse=True),
    "scan without slices": lambda v, m: etp.scan(
        lambda c, _: (c * v, {"sum": xp.sum(c), "one": 1.0}), v, length=5, unroll=2
    )[1]["sum"],
    "scan without results": lambda v, m: etp.scan(
        lambda c, x: (Pair(c.a + xp.sum(x[0]), c.b * v - c.a), None), Pair(0.0, v), (m, m * m)
    )[0].b,
    "fori": lambda v, m: etp.fori_loop(0, 4, lambda i, c: c + i * m[i], v),
    "fori rolled": lambda v, m: etp.fori_loop(1, 4, lambda i, c: c + i * m[i], v, unroll=0),
    "fori empty": lambda v, m: etp.fori_loop(3, 1, lambda i, c: c + i, v),
    "fori traced": lambda v, m: etp.fori_loop(
        0, xp.astype(xp.sum(v) * 3, xp.int32), lambda i, c: c * 0.5 + i, v
    ),
    "while": lambda v, m: etp.while_loop(
        lambda c: xp.max(xp.abs(c[0])) > 0.1, lambda c: (c[0] * 0.7, c[1] + 1), (v, 0)
    )[0],
    "while captured": lambda v, m: etp.while_loop(
        lambda c: xp.sum(c) < xp.sum(m), lambda c: c + xp.abs(v), xp.zeros_like(v)
    ),
    "nested": lambda v, m: etp.scan(
        lambda c, x: etp.cond(
            xp.sum(c) > 1, lambda: (c * 0.5, etp.fori_loop(0, 3, lambda i, s: s + c, x)),
            lambda: (c + x, etp.while_loop(lambda s: xp.sum(s) < 2, lambda s: s + 1, x)),
        ), v, m, unroll=0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_traced_and_eager_agree(name):
    function = FUNCTIONS[name]
    with np.errstate(all="ignore"):
        for v in (V, -V):
            wanted = function(v, M)
            wanted = wanted if isinstance(wanted, tuple) else (wanted,)
            program, constants = trace(function, {"v": t(3), "m": t(4, 3)})
            found = evaluate(verify(program), {"v": v, "m": M, **constants})
            assert len(found) == len(wanted)
            for got, want in zip(found.values(), wanted, strict=True):
                np.testing.assert_allclose(got, want, rtol=1e-12)


def test_the_program_shows_the_structure():
    def function(v, m):
        h, _ = etp.scan(lambda h, x: (xp.tanh(h + x), None), v, m, unroll=0)
        h = etp.cond(v[0] > 0, lambda: h, lambda: -h)
        return etp.while_loop(lambda h: xp.sum(h) > 1, lambda h: h / 2, h)

    program, _ = trace(function, {"v": t(3), "m": t(4, 3)})
    text = str(program)
    assert [n.primitive.name for n in program.nodes if n.regions] == ["scan", "cond", "while"]
    for words in ("then = program", "otherwise = program", "test = program", "%h: f64[3] carry"):
        assert words in text


def test_short_loops_are_written_out():
    for unroll, expected in ((4, 0), (3, 1)):
        program, _ = trace(
            lambda v, m, n=unroll: etp.scan(lambda c, x: (c + x, None), v, m, unroll=n)[0],
            {"v": t(3), "m": t(4, 3)},
        )
        assert sum(n.primitive.name == "scan" for n in program.nodes) == expected


def test_a_known_predicate_decides_at_once():
    program, _ = trace(lambda v: etp.cond(True, lambda: v, lambda: 1 / 0), {"v": t(3)})
    assert not program.nodes


def test_a_loop_over_captured_arrays_finds_its_trace():
    def function(v):
        return etp.while_loop(lambda n: xp.sum(v) > n, lambda n: n + 1.0, 0.0)

    program, constants = trace(function, {"v": t(3)})
    assert evaluate(program, {"v": 2 * V, **constants})["output(0)"] == 2.0


class Counting(etp.Module):
    """Leaks as often as its input says, by a bound that the model computes or by choices."""

    def __init__(self, *, computed):
        self.w = etp.Param(np.asarray([[0.3, -0.2], [0.5, 0.4]]))
        self.h = etp.State((2,), init=0.5)
        self.computed = computed

    def __call__(self, x):
        y = etp.matmul(x, self.w)
        rounds = xp.astype(xp.abs(x[0]) * 3, xp.int32)
        if self.computed:
            h = etp.fori_loop(0, rounds, lambda i, h: 0.8 * h + (i + 1) * y, self.h.value)
        else:
            h = self.h.value
            for i in range(6):
                h = xp.where(i < rounds, 0.8 * h + (i + 1) * y, h)
        self.h.value = h
        return h


@pytest.mark.parametrize("rule", ["d_rtrl", "bptt"])
def test_a_bound_may_be_computed_by_the_model(rule):
    xs = np.asarray([[[0.9, 1.3]], [[0.1, 0.2]], [[1.5, -0.3]], [[-1.2, 0.7]]])
    found = []
    for computed in (True, False):
        lr = etp.compile(
            Counting(computed=computed), rule, "mse", dtype="float64", backend="numpy",
            example=(xs[0, 0], xs[0, 0]),
        )  # fmt: skip
        found.append(np.asarray(lr.grad(xs, 0 * xs)[0]["w"]))
    assert np.abs(found[1]).max() > 1e-2
    np.testing.assert_allclose(found[0], found[1], rtol=1e-10)


# -- states --------------------------------------------------------------------------------
class Cell(etp.Module):
    """Counts and decays."""

    def __init__(self):
        self.w = etp.Param(np.ones(2))
        self.n = etp.State((), init=0, dtype="int32")
        self.h = etp.State((2,), init=1.0)

    def __call__(self, x):
        self.n.value = self.n.value + 1
        self.h.value = 0.5 * self.h.value + x * self.w
        return self.h.value


class Around(etp.Module):
    """Advances a cell inside of control flow."""

    def __init__(self, how):
        self.cell = Cell()
        self.how = how

    def __call__(self, x):
        return self.how(self.cell, x)


HOW = {
    "scan": lambda c, x: etp.scan(lambda _, y: (None, c(x + y)), None, np.ones((3, 2)))[1][1],
    "scan rolled": lambda c, x: etp.scan(
        lambda _, y: (None, c(x + y)), None, np.ones((3, 2)), unroll=0
    )[1][1],
    "fori": lambda c, x: etp.fori_loop(0, 3, lambda i, s: s + c(x), xp.zeros_like(x), unroll=0),
    "cond": lambda c, x: etp.cond(c.h.value[0] > 0.9, lambda: c(x), lambda: x),
    "while": lambda c, x: etp.while_loop(
        lambda n: c.h.value[0] + n < 4, lambda n: n + 1 + xp.sum(c(x)) * 0, 0.0
    ) + x,
}  # fmt: skip


@pytest.mark.parametrize("name", HOW)
def test_states_assigned_inside_are_carried(name):
    """A compiled model moves its states as the model itself does on arrays."""
    xs = np.asarray([[0.9, 1.3], [0.1, 0.2], [2.0, 0.3]])
    model = Around(HOW[name])
    lr = etp.compile(
        model, "d_rtrl", "mse", dtype="float64", backend="numpy",
        example=(xs[0], xs[0]),
    )  # fmt: skip
    outputs = np.asarray(lr.predict(xs[:, None]))[:, 0]
    model.reset_states()
    for t_, x in enumerate(xs):
        np.testing.assert_allclose(outputs[t_], model(x), rtol=1e-6)
    assert int(model.cell.n.value) not in (0, 1)


# -- errors --------------------------------------------------------------------------------
def keep(kept, x):
    kept.append(x)
    return x


ERRORS = {
    "branch types": (
        lambda v, m: etp.cond(v[0] > 0, lambda: v, lambda: v[0]),
        r"branches of etp.cond return different types: f64\[3\] and f64\[\]", "broadcast_to",
    ),
    "branch elements": (
        lambda v, m: etp.cond(v[0] > 0, lambda: v, lambda: v > 0),
        r"different types: f64\[3\] and bool\[3\]", "xp.astype",
    ),
    "branch structures": (
        lambda v, m: etp.cond(v[0] > 0, lambda: (v, v), lambda: v),
        r"return \(\*, \*\) and \*", "same structure",
    ),
    "predicate": (
        lambda v, m: etp.cond(v[0], lambda: v, lambda: v), r"one truth value, got f64\[\]", "x > 0",
    ),
    "predicates": (
        lambda v, m: etp.cond(v > 0, lambda: v, lambda: v),
        r"one truth value, got bool\[3\]", "xp.any",
    ),
    "number": (lambda v, m: etp.cond(1, lambda: v, lambda: v), "one truth value, got", "x > 0"),
    "carry": (
        lambda v, m: etp.scan(lambda c, x: (c + x, None), 0.0, m),
        r"carry of etp.scan starts as f64\[\] and comes back as f64\[3\]",
        r"array of type f64\[3\]",
    ),
    "integer carry": (
        lambda v, m: etp.fori_loop(0, 3, lambda i, c: (c[0] + v[0], c[1]), (0, v)),
        r"etp.fori_loop starts as i32\[\] and comes back as f64\[\]", "xp.astype",
    ),
    "carry structure": (
        lambda v, m: etp.scan(lambda c, x: ((c, c), None), v, m),
        r"starts as \* and comes back as \(\*, \*\)", "structure",
    ),
    "no pair": (lambda v, m: etp.scan(lambda c, x: c, v, m), "returned a Tracer", "(carry, y)"),
    "no length": (lambda v, m: etp.scan(lambda c, x: (c, c), v), "neither xs nor length", "length"),
    "lengths": (
        lambda v, m: etp.scan(lambda c, x: (c, c), v, (m, v)), "numbers: 4 and 3", "equal",
    ),
    "scalar": (lambda v, m: etp.scan(lambda c, x: (c, c), v, v[0]), "a scalar among xs", "axis"),
    "bounds": (lambda v, m: etp.fori_loop(0, 2.5, lambda i, c: c, v), "must be an integer",
               "whole"),
    "while carry": (
        lambda v, m: etp.while_loop(lambda c: xp.sum(c) > 0, lambda c: c[0], v),
        r"etp.while_loop starts as f64\[3\] and comes back as f64\[\]", "type",
    ),
    "while test": (
        lambda v, m: etp.while_loop(lambda c: c > 0, lambda c: c, v),
        r"test of etp.while_loop must be one truth value, got bool\[3\]", "xp.any",
    ),
    "negative length": (
        lambda v, m: etp.scan(lambda c, x: (c, c), v, length=-3),
        "length must not be negative, got -3", "0 or more",
    ),
    "negative unroll": (
        lambda v, m: etp.scan(lambda c, x: (c, c), v, m, unroll=-1),
        "unroll must not be negative, got -1", "0 or more",
    ),
    "unroll": (
        lambda v, m: etp.fori_loop(0, 3, lambda i, c: c, v, unroll="x"),
        "unroll must be an integer, got 'x'", "whole number",
    ),
    "branch arrays": (
        lambda v, m: etp.cond(v[0] > 0, v, 2 * v),
        "first branch of etp.cond is no function, got Tracer", "lambda: value",
    ),
    "known branch": (
        lambda v, m: etp.cond(True, lambda: v, 3.0),
        "second branch of etp.cond is no function, got 3.0", "lambda: value",
    ),
    "branch arguments": (
        lambda v, m: etp.cond(v[0] > 0, lambda: v, lambda a: a),
        r"second branch of etp.cond is called with no argument, and it takes \(a\)",
        "function of no argument",
    ),
    "scan arguments": (
        lambda v, m: etp.scan(lambda c: (c, c), v, m),
        r"body of etp.scan is called with 2 arguments \(carry, x\), and it takes \(c\)",
        "function of 2 arguments",
    ),
    "fori arguments": (
        lambda v, m: etp.fori_loop(0, 30, lambda c: c, v),
        r"body of etp.fori_loop is called with 2 arguments \(i, value\)", "2 arguments",
    ),
    "while arguments": (
        lambda v, m: etp.while_loop(lambda: True, lambda c: c, v),
        r"test of etp.while_loop is called with one argument \(value\)", "one argument",
    ),
    "traced bound": (
        lambda v, m: etp.fori_loop(0, v[0], lambda i, c: c, v),
        r"upper must be an integer, got f64\[\]", "xp.astype",
    ),
    "bound beside a traced one": (
        lambda v, m: etp.fori_loop(0.5, xp.astype(v[0], xp.int32), lambda i, c: c, v),
        "lower must be an integer, got 0.5", "whole number",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_mistakes_are_told_with_the_line_and_a_mend(name):
    function, what, mend = ERRORS[name]
    with pytest.raises(etp.ModelError, match=what) as caught:
        trace(function, {"v": t(3), "m": t(4, 3)})
    text = str(caught.value)
    assert "test_functions.py:" in text
    assert mend.replace("\\", "") in text


class Leaking(etp.Module):
    """Uses a value of a loop's body outside of it."""

    def __init__(self, unroll):
        self.w = etp.Param(np.ones(2))
        self.h = etp.State((2,))
        self.unroll = unroll

    def __call__(self, x):
        kept = []
        self.h.value = etp.fori_loop(
            0, 3, lambda i, h: keep(kept, xp.tanh(h + x * self.w)), self.h.value, self.unroll
        )
        return self.h.value + kept[-1]


class MarkedWhile(etp.Module):
    """Has a weight product in a while loop."""

    def __init__(self):
        self.w = etp.Param(np.ones((2, 2)) / 4)
        self.h = etp.State((2,))

    def __call__(self, x):
        self.h.value = etp.while_loop(
            lambda h: xp.sum(h) > 1, lambda h: etp.matmul(h, self.w), self.h.value + x
        )
        return self.h.value


class MarkedLong(etp.Module):
    """Has a recurrent weight product in a long loop."""

    def __init__(self):
        self.w = etp.Param(np.ones((2, 2)) / 4)
        self.h = etp.State((2,))

    def __call__(self, x):
        self.h.value = etp.fori_loop(
            0, 1000, lambda i, h: xp.tanh(etp.matmul(h, self.w)), self.h.value + x
        )
        return self.h.value


@pytest.mark.parametrize(
    ("model", "kind", "what", "mend"),
    [
        (Leaking(16), etp.ModelError, "used outside", "return it from the function"),
        (Leaking(0), etp.ModelError, "used outside", "return it from the function"),
        (MarkedWhile(), etp.NotSupportedError, "inside of a while loop", "etp.fori_loop"),
        (MarkedLong(), etp.NotSupportedError, "a loop of 1000 rounds", "before the loop"),
    ],
)
def test_what_cannot_be_compiled_is_refused(model, kind, what, mend):
    x = np.ones(2)
    with pytest.raises(kind, match=what) as caught:
        etp.compile(model, "d_rtrl", "mse", backend="numpy", example=(x, x))
    assert "test_functions.py:" in str(caught.value)
    assert mend in str(caught.value)


def test_integer_indices_are_the_same_in_both_forms():
    program, constants = trace(
        lambda m: etp.fori_loop(2, 5, lambda i, c: c + i, xp.zeros((), dtype=xp.int32)),
        {"m": TensorType(I32, (2,))},
    )
    assert evaluate(program, {"m": np.zeros(2, np.int32), **constants})["output(0)"] == 9
