"""For each diagnostic a minimal script that brings it about, and the change that removes it."""

from __future__ import annotations

import linecache
import textwrap
from typing import Any

import numpy as np
from attrs import field, frozen

import etp
from etp import xp
from etp.compiler.kinds import DiagnosticKind as Kind
from etp.compiler.kinds import DiagnosticLevel

FILE = "model.py"
COMPILE = 'learner = etp.compile(Net(), loss="mse", example=(x, y))'
LEAKY = """
    self.w = etp.Param(np.ones((2, 3)))
    self.h = etp.State((3,))
"""
RECURRENT = """
    self.w = etp.Param(np.ones((2, 3)))
    self.u = etp.Param(np.eye(3))
    self.h = etp.State((3,))
"""


@frozen
class Example:
    """A script that defines ``Net`` and compiles it, with what is to be found in it.

    Attributes
    ----------
    init, step
        Bodies of ``Net.__init__`` and ``Net.__call__``.
    text
        Part of the record's message, or of the error.
    line
        Part of the line that the record points at; empty where there is none to point at.
    mend
        Replacements in the script, after which the diagnostic is gone.
    before, after
        Lines before and after the class; the latter make the learner.
    """

    kind: Kind
    init: str
    step: str
    text: str
    line: str
    mend: tuple[tuple[str, str], ...]
    after: str = field(default=COMPILE)
    before: str = ""

    @property
    def script(self) -> str:
        """The whole script."""
        head = "class Net(etp.Module):\n    def __init__(self):\n"
        body = _indented(self.init) + "\n    def __call__(self, x):\n" + _indented(self.step)
        before = textwrap.dedent(self.before).strip() + "\n\n\n" if self.before else ""
        return f"{before}{head}{body}\n\n{textwrap.dedent(self.after).strip()}\n"

    @property
    def mended(self) -> str:
        """The script with the mend applied."""
        text = self.script
        for old, new in self.mend:
            assert text.count(old) == 1, (self.kind, old)
            text = text.replace(old, new)
        return text

    @property
    def raises(self) -> bool:
        """Whether the script ends in an error."""
        return self.kind.level is DiagnosticLevel.ERROR


def _indented(text: str) -> str:
    return textwrap.indent(textwrap.dedent(text).strip() + "\n", " " * 8)


def run(script: str) -> etp.Learner:
    """Return the learner that a script makes, on the backend that compiles fastest."""
    fast = script.replace("example=(x, y)", 'example=(x, y), backend="numpy"')
    rng = np.random.default_rng(0)
    linecache.cache[FILE] = (len(script), None, script.splitlines(True), FILE)
    names: dict[str, Any] = {
        "etp": etp, "np": np, "xp": xp, "x": np.ones(2), "y": np.ones(3),
        "xs": rng.normal(size=(4, 1, 2)), "ys": rng.normal(size=(4, 1, 3)),
    }  # fmt: skip
    exec(compile(fast, FILE, "exec"), names)
    return names["learner"]


def compiled(options: str) -> str:
    """Return the line that compiles with options."""
    return COMPILE[:-1] + f", {options})"


LEAK = """
self.h.value = 0.9 * self.h + etp.matmul(x, self.w)
return self.h.value
"""
MIXING = """
self.h.value = 0.9 * self.h + xp.tanh(etp.matmul(x, self.w) + etp.matmul(self.h, self.u))
return self.h.value
"""
READ = LEAKY + "    self.readout = etp.Param(np.ones((3, 3)))\n"
READING = """
self.h.value = 0.9 * self.h + etp.matmul(x, self.w)
return etp.matmul(self.h.value, self.readout)
"""
ANSWERED = """
from attrs import frozen

@frozen
class Answered(etp.rules.TraceRule):
    signal: etp.signals.Signal
    name = "answered"

    def advance(self, rel, e):
        return {"e": rel.D @ e["e"] + rel.u * rel.x}
"""
ALL_PATHS = ((COMPILE, compiled('scope="full"')),)
ALL_TAILS = ((COMPILE, compiled('tail="exact"')),)

EXAMPLES = (
    # -- 1xx --------------------------------------------------------------------------------
    Example(
        Kind.TRACED, LEAKY, LEAK, "w acts on h through `etp.matmul`", "etp.matmul(x, self.w)",
        (("etp.matmul(x, self.w)", "x @ self.w"),),
    ),
    Example(
        Kind.VARYING_WEIGHT, LEAKY, """
        self.h.value = 0.9 * self.h + etp.matmul(x, self.w * self.h)
        return self.h.value
        """,
        "the weight that w makes for `etp.matmul` changes from step to step", "self.w * self.h",
        (("etp.matmul(x, self.w * self.h)", "self.h * etp.matmul(x, self.w)"),),
    ),
    Example(
        Kind.PLAIN_USE, LEAKY, """
        self.h.value = 0.9 * self.h + x @ self.w
        return self.h.value
        """,
        "w acts on h through `contract`, which is no weight product", "x @ self.w",
        (("x @ self.w", "etp.matmul(x, self.w)"),),
    ),
    Example(
        Kind.MIXED_USE, LEAKY, """
        drive = etp.matmul(x, self.w)
        self.h.value = 0.9 * self.h + drive + 0.1 * (x @ self.w)
        return self.h.value
        """,
        "which is no weight product too", "0.1 * (x @ self.w)",
        (("0.1 * (x @ self.w)", "0.1 * drive"),),
    ),
    Example(
        Kind.THROUGH_WEIGHT, RECURRENT, """
        self.h.value = 0.9 * self.h + etp.matmul(etp.matmul(x, self.w), self.u)
        return self.h.value
        """,
        "the product of w reaches h only through `etp.matmul` with u", "etp.matmul(etp.matmul",
        (("etp.matmul(etp.matmul(x, self.w), self.u)", "etp.matmul(x, self.w @ self.u)"),),
    ),
    Example(
        Kind.PARTLY_THROUGH_WEIGHT, RECURRENT, """
        drive = etp.matmul(x, self.w)
        self.h.value = 0.9 * self.h + drive + etp.matmul(drive, self.u)
        return self.h.value
        """,
        "the product of w reaches h also through `etp.matmul` with u", "etp.matmul(drive, self.u)",
        ALL_TAILS,
    ),
    Example(
        Kind.UNTRAINED_WEIGHT, """
        self.w = np.ones((2, 3))
        self.b = etp.Param(np.zeros(3))
        self.h = etp.State((3,))
        """, """
        self.h.value = 0.9 * self.h + etp.matmul(x, self.w, self.b)
        return self.h.value
        """,
        "the weight of `etp.matmul` depends on no parameter", "etp.matmul(x, self.w, self.b)",
        (("self.w = np.ones((2, 3))", "self.w = etp.Param(np.ones((2, 3)))"),),
    ),
    Example(
        Kind.TIED_WEIGHT, LEAKY, """
        self.h.value = 0.9 * self.h + etp.matmul(x, self.w) + etp.matmul(x * x, self.w)
        return self.h.value
        """,
        "w is used by 2 products", "etp.matmul(x * x, self.w)",
        (("etp.matmul(x, self.w) + etp.matmul(x * x, self.w)", "etp.matmul(x + x * x, self.w)"),),
    ),
    Example(
        Kind.WEIGHT_EXPRESSION, LEAKY, """
        self.h.value = 0.9 * self.h + etp.matmul(x, xp.abs(self.w))
        return self.h.value
        """,
        "w enters `etp.matmul` inside an expression", "xp.abs(self.w)",
        (("xp.abs(self.w)", "self.w"),),
    ),
    Example(
        Kind.UNREACHABLE, """
        self.w = etp.Param(np.ones((2, 3)))
        self.idle = etp.Param(np.ones(3))
        self.h = etp.State((3,))
        """, LEAK,
        "no path leads from idle to the loss", "self.idle = etp.Param(np.ones(3))",
        (("etp.Param(np.ones(3))", "etp.Param(np.ones(3), trainable=False)"),),
    ),
    Example(
        Kind.NO_PARAMETER, """
        self.w = np.ones((2, 3))
        self.h = etp.State((3,))
        """, LEAK,
        "Net has no Param to train", "def __call__",
        (("np.ones((2, 3))", "etp.Param(np.ones((2, 3)))"),),
    ),
    # -- 2xx --------------------------------------------------------------------------------
    Example(
        Kind.MIXING_TAIL, LEAKY, """
        drive = etp.matmul(x, self.w)
        self.h.value = 0.9 * self.h + xp.mean(drive)
        return self.h.value
        """,
        "the product of w reaches h only through `reduce_", "xp.mean(drive)", ALL_TAILS,
    ),
    Example(
        Kind.PARTLY_MIXING_TAIL, LEAKY, """
        drive = etp.matmul(x, self.w)
        self.h.value = 0.9 * self.h + drive / xp.sum(drive)
        return self.h.value
        """,
        "the product of w reaches h also through `reduce_sum`", "drive / xp.sum(drive)",
        (("etp.matmul(x, self.w)", "etp.matmul(x / xp.sum(x), self.w)"),
         ("drive / xp.sum(drive)", "drive")),
    ),
    Example(
        Kind.STOPPED_GRADIENT, LEAKY, """
        self.h.value = 0.9 * etp.stop_gradient(self.h) + etp.matmul(x, self.w)
        return self.h.value
        """,
        "`stop_gradient` cuts a path to h", "etp.stop_gradient(self.h)",
        (("etp.stop_gradient(self.h)", "self.h"),),
    ),
    Example(
        Kind.ZERO_DERIVATIVE, LEAKY, """
        self.h.value = 0.9 * self.h + etp.matmul(x, self.w)
        return xp.where(self.h > 1, 1.0, 0.0)
        """,
        "every path from w to the loss ends at `gt`", "xp.where(self.h > 1, 1.0, 0.0)",
        (("xp.where(self.h > 1, 1.0, 0.0)", "etp.spike(self.h - 1)"),),
    ),
    # -- 3xx --------------------------------------------------------------------------------
    Example(
        Kind.STATE_NOT_ASSIGNED, """
        self.w = etp.Param(np.ones((2, 3)))
        self.decay = etp.State((3,), init=0.9)
        self.h = etp.State((3,))
        """, """
        self.h.value = self.decay * self.h + etp.matmul(x, self.w)
        return self.h.value
        """,
        "state decay is never assigned in a step", "etp.State((3,), init=0.9)",
        (("etp.State((3,), init=0.9)", "np.full(3, 0.9)"),),
    ),
    Example(
        Kind.NOT_DIFFERENTIATED, """
        self.w = etp.Param(np.ones((2, 3)))
        self.count = etp.State((), dtype="int32")
        self.h = etp.State((3,))
        """, """
        self.count.value = self.count + 1
        self.h.value = 0.9 * self.h + etp.matmul(x, self.w)
        return self.h.value
        """,
        "state count holds i32[]", 'etp.State((), dtype="int32")',
        (('etp.State((), dtype="int32")', "etp.State(())"),),
    ),
    Example(
        Kind.COUPLED_IN_STEP, """
        self.w = etp.Param(np.ones((2, 3)))
        self.c = etp.State((3,))
        self.h = etp.State((3,))
        """, """
        c = self.c.value
        self.c.value = 0.9 * c + etp.matmul(x, self.w)
        self.h.value = 0.5 * self.h + xp.tanh(self.c)
        return self.h.value
        """,
        "the new c feeds the new h in the same step", "xp.tanh(self.c)",
        (("xp.tanh(self.c)", "xp.tanh(c)"),),
    ),
    Example(
        Kind.JOINED_GROUP, """
        self.w = etp.Param(np.ones((2, 3)))
        self.v = etp.State((3,))
        self.a = etp.State((3,))
        """, """
        v, a = self.v.value, self.a.value
        self.v.value = 0.9 * v - 0.1 * a + etp.matmul(x, self.w)
        self.a.value = 0.99 * a + 0.01 * v
        return self.v.value
        """,
        "v and a form one hidden group", "self.v = etp.State((3,))",
        ((" - 0.1 * a", ""), (" + 0.01 * v", " + 0.01")),
    ),
    Example(
        Kind.IDLE_STATE, """
        self.w = etp.Param(np.ones((2, 3)))
        self.h = etp.State((3,))
        self.mean = etp.State((3,))
        """, """
        self.h.value = 0.9 * self.h + etp.matmul(x, self.w)
        self.mean.value = 0.99 * self.mean + 0.01 * self.h
        return self.h.value
        """,
        "no later step reads state mean on its way to the loss", "self.mean = etp.State((3,))",
        (("return self.h.value", "return self.h - self.mean"),),
    ),
    Example(
        Kind.UNTRAINED_STATE, """
        self.w = etp.Param(np.ones((2, 3)))
        self.memory = etp.State((2,))
        """, """
        self.memory.value = 0.9 * self.memory + x
        return etp.matmul(self.memory, self.w)
        """,
        "no traced weight acts on memory", "self.memory = etp.State((2,))",
        (("np.ones((2, 3))", "np.ones((2, 2))"),
         ("+ x\n", "+ etp.matmul(x, self.w)\n"),
         ("etp.matmul(self.memory, self.w)", "xp.concat([self.memory, xp.ones(1)])")),
    ),
    Example(
        Kind.NO_STATE, """
        self.w = etp.Param(np.ones((2, 3)))
        self.h = np.zeros(3)
        """, LEAK,
        "Net has no State: nothing carries over", "def __call__",
        (("np.zeros(3)", "etp.State((3,))"),),
    ),
    # -- 4xx --------------------------------------------------------------------------------
    Example(
        Kind.RECURRENT_PRODUCT, RECURRENT, MIXING,
        "h acts on the next h through `etp.matmul` with u", "etp.matmul(self.h, self.u)",
        ALL_PATHS,
    ),
    Example(
        Kind.MIXING_TRANSITION, LEAKY, """
        self.h.value = 0.9 * self.h - 0.1 * xp.sum(self.h) + etp.matmul(x, self.w)
        return self.h.value
        """,
        "h acts on the next h through `reduce_sum`", "xp.sum(self.h)", ALL_PATHS,
    ),
    Example(
        Kind.MOVED_POSITIONS, LEAKY, """
        self.h.value = 0.9 * xp.roll(self.h, 1) + etp.matmul(x, self.w)
        return self.h.value
        """,
        "positions of h act on others of the next h", "xp.roll(self.h, 1)", ALL_PATHS,
    ),
    Example(
        Kind.CROSS_GROUP, """
        self.w = etp.Param(np.ones((2, 3)))
        self.u = etp.Param(np.eye(3))
        self.low = etp.State((3,))
        self.high = etp.State((3,))
        """, """
        self.low.value = 0.9 * self.low + etp.matmul(x, self.w)
        self.high.value = 0.9 * self.high + etp.matmul(self.low, self.u)
        return self.high.value
        """,
        "low acts on later values of high through `etp.matmul` with u",
        "etp.matmul(self.low, self.u)", ((COMPILE, compiled('scope="layered"')),),
    ),
    Example(
        Kind.NO_TRANSITION, RECURRENT, """
        self.h.value = xp.tanh(etp.matmul(x, self.w) + etp.matmul(self.h, self.u))
        return self.h.value
        """,
        "nothing of the transition of h is position-wise", "etp.matmul(self.h, self.u)",
        (("= xp.tanh(", "= 0.5 * self.h + 0.5 * xp.tanh("),),
    ),
    Example(
        Kind.BEYOND_SCOPE, """
        self.w = etp.Param(np.ones((2, 3)))
        self.ring = np.eye(3) + np.eye(3, k=1) + np.eye(3, k=-2)
        self.h = etp.State((3,))
        """, """
        self.h.value = 0.3 * (self.h @ self.ring) + etp.matmul(x, self.w)
        return self.h.value
        """,
        "the influence of w goes on beyond the reach of scope sparse_n(2)", "etp.matmul(x, self.w)",
        (("sparse_n(2)", "sparse_n(3)"),), after=compiled('scope="sparse_n(2)"'),
    ),
    # -- 5xx --------------------------------------------------------------------------------
    Example(
        Kind.OPAQUE_REGION, LEAKY, """
        drive = etp.matmul(x, self.w)
        drive = etp.while_loop(lambda v: xp.sum(v) > 10, lambda v: v - xp.mean(v), drive)
        self.h.value = 0.9 * self.h + drive
        return self.h.value
        """,
        "the product of w reaches h only through `while`", "etp.while_loop", ALL_PATHS,
    ),
    Example(
        Kind.PRODUCT_IN_REGION, LEAKY, """
        drive = etp.matmul(x, self.w)
        self.h.value = etp.while_loop(
            lambda h: xp.sum(h) < 10, lambda h: h + etp.matmul(x, self.w), 0.9 * self.h
        )
        return self.h.value
        """,
        "`etp.matmul` inside of a while loop takes part in no traces", "etp.matmul(x, self.w), 0.9",
        (("h + etp.matmul(x, self.w)", "h + drive"),),
    ),
    Example(
        Kind.FORWARD_LOOP, LEAKY, """
        h = 0.9 * self.h + etp.matmul(x, self.w)
        self.h.value = etp.while_loop(lambda v: xp.sum(v) > 10, lambda v: 0.5 * v, h)
        return self.h.value
        """,
        "the derivative of `while` is its whole Jacobian", "etp.while_loop",
        (("etp.while_loop(lambda v: xp.sum(v) > 10, lambda v: 0.5 * v, h)",
          "etp.fori_loop(0, 2, lambda i, v: 0.5 * v, h)"),),
    ),
    # -- 6xx --------------------------------------------------------------------------------
    Example(
        Kind.APPROXIMATE_RULE, LEAKY, LEAK, "pp_prop approximates the trace of w", "",
        (('rule="pp_prop"', 'rule="d_rtrl"'),), after=compiled('rule="pp_prop"'),
    ),
    Example(
        Kind.ALTERED_RULE, LEAKY, LEAK,
        "faded alters the trace of w", "", (("rule=Faded()", 'rule="d_rtrl"'),),
        before="""
        class Faded(etp.rules.TraceRule):
            name = "faded"

            def advance(self, rel, e):
                return {"e": 0.5 * rel.D @ e["e"] + rel.u * rel.x}
        """,
        after=compiled("rule=Faded()"),
    ),
    Example(
        Kind.WINDOW_ZERO, RECURRENT, MIXING,
        "the path from h to the loss through `etp.matmul` with u is not followed",
        "etp.matmul(self.h, self.u)", (("window=0", "window=1"),), after=compiled("window=0"),
    ),
    Example(
        Kind.TRUNCATED, RECURRENT, MIXING, "bptt sees one step of the past", "",
        (('update="step"', 'update="sequence"'),),
        after="""
        learner = etp.compile(Net(), "bptt", "mse", backend="numpy")
        learner.fit([(xs, ys)], update="step", progress=False)
        """,
    ),
    Example(
        Kind.ROUNDED_TRACES, LEAKY, LEAK, "traces are kept as float16, states as float32", "",
        ((', trace_dtype="float16"', ""),), after=compiled('trace_dtype="float16"'),
    ),
    Example(
        Kind.CANNOT_STREAM, LEAKY, LEAK, "bptt keeps nothing between steps", "learner.step",
        (('"bptt"', '"d_rtrl"'),),
        after="""
        learner = etp.compile(Net(), "bptt", "mse", backend="numpy")
        learner.step(xs[0], ys[0])
        """,
    ),
    Example(
        Kind.STREAMED_WINDOW, RECURRENT, MIXING, "learner.step reads window 3 as window 1", "",
        (("window=3", "window=1"),),
        after="""
        learner = etp.compile(Net(), "d_rtrl", "mse", backend="numpy", window=3)
        learner.step(xs[0], ys[0])
        """,
    ),
    Example(
        Kind.SINGLE_EXAMPLE, LEAKY,
        """
        self.h.value = 0.9 * self.h + etp.matmul(x, self.w)
        return self.h - etp.batch_mean(self.h)
        """,
        "etp.batch_mean is taken of one example", "etp.batch_mean(self.h)",
        (("learner.grad(xs, ys)", "learner.grad(np.ones((4, 2, 2)), np.ones((4, 2, 3)))"),),
        after="""
        learner = etp.compile(Net(), "d_rtrl", "mse", backend="numpy")
        learner.grad(xs, ys)
        """,
    ),
    Example(
        Kind.OTHER_SIGNAL, READ, READING, "credit for w comes from the signal Random", "",
        (("etp.signals.Random()", "etp.signals.Symmetric()"),), before=ANSWERED,
        after=compiled("rule=Answered(etp.signals.Random()), window=0"),
    ),
    Example(
        Kind.UNUSED_SIGNAL, READ, READING,
        "with window 1 the signal Random of answered is not used", "", (("window=1", "window=0"),),
        before=ANSWERED, after=compiled("rule=Answered(etp.signals.Random()), window=1"),
    ),
)  # fmt: skip
