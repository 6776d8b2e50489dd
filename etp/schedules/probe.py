"""Whether a rule gives the gradient of the influence after all, found by numbers.

Many a rule replaces the influence by something cheaper that equals it on some models: one constant
leak in place of the transition, a product of two filters in place of a trace, mean slopes of later
layers where there are none. Whether that is so here is no matter of its form. The online step of
the rule is run beside that of D-RTRL with the same scope, from random states, with random weights,
inputs, targets and draws. Functions of a step are analytic between their kinks: two that agree at
random points agree. Beyond kinks that random points do not meet, comparisons and choices of
the larger or smaller are turned over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping
from hashlib import blake2b
from typing import Any, TypeVar

import numpy as np
from attrs import define, evolve, field, frozen

from etp_ir.builder import Builder
from etp_ir.core import Input, Program, Role
from etp_ir.interpreter import evaluate
from etp_ir.passes import lower
from etp_ir.passes.dce import dce
from etp_ir.tracer import Tracer, operand
from etp_ir.types import BOOL, F64, U32, TensorType

from ..compiler.report import cost
from ..compiler.structure import Structure, analyse
from ..keys import SEQUENCE
from ..rules.base import LearningRule
from ..rules.registry import resolve
from .flags import flagged
from .forms import Forms
from .online import online_step
from .sequence import Sequences, call
from .steps import Steps

STEPS_PROBED = 10
# Sizes of the states, inputs and targets that the step is run from: kinks lie at any of them.
# The last ones are for parameters whose units were silent so far: one time alive may be chance.
SCALES, FIRST, ENOUGH = (1.0, 30.0, 0.2, 5.0, 10.0, 3.0), 3, 3
TOLERANCE = 1e-9
# Of models in single precision: their constants are rounded.
SINGLE = 1e-5
# Gradients below it are of no use for a comparison.
DEAD = 1e-6
# Above this many elements of traces, or flops and bytes of a step and what calls of NumPy take
# beside them, a probe would cost more than it tells.
LARGEST, LONGEST, CALL, OFTEN = 2_000_000, 50_000_000, 5_000, 30
Array = np.ndarray[Any, Any]
_T = TypeVar("_T")
# What was found of so many models and rules.
MANY = 64
_ANSWERS: dict[Hashable, frozenset[str] | None] = {}
_INFLUENCES: dict[Hashable, Program | None] = {}


def _digest(arrays: Mapping[str, Any]) -> bytes:
    """Return what is equal for equal arrays."""
    found = blake2b()
    for name in sorted(arrays):
        x = np.ascontiguousarray(arrays[name])
        found.update(f"{name} {x.dtype} {x.shape}".encode())
        found.update(x.tobytes())
    return found.digest()


@frozen(eq=False)
class _World:
    """A model as rules meet it."""

    structure: Structure
    constants: Mapping[str, Any]
    window: int

    @property
    def key(self) -> Hashable:
        """What is equal for equal models, and holds none of their arrays."""
        s = self.structure
        return s.program, s.scope, s.tail, self.window, _digest(self.constants)


def _remembered(found: dict[Hashable, _T], key: Hashable, find: Callable[[], _T]) -> _T:
    """Return what was found for a key before, or find it."""
    if key in found:
        return found[key]
    new = find()
    if len(found) >= MANY:
        del found[next(iter(found))]
    found[key] = new
    return new


def coinciding(
    structure: Structure, rule: LearningRule, window: int, constants: Mapping[str, Any],
    params: Mapping[str, Any],
) -> frozenset[str] | None:  # fmt: skip
    """Return the parameters whose gradient is that of the influence within the scope.

    Parameters
    ----------
    params
        Values of the parameters. Where random ones give nothing finite, these are varied.

    Returns
    -------
    frozenset or None
        None if the model is too large to be tried.
    """
    world = _World(structure, constants, min(window, 1))
    if not _compared(rule):
        return _answer(world, rule, params)
    key = (world.key, rule, _digest(params))
    return _remembered(_ANSWERS, key, lambda: _answer(world, rule, params))


def _compared(rule: LearningRule) -> bool:
    """Whether rules that are equal compute the same, now and later."""
    try:
        hash(rule)
    except TypeError:  # it holds what cannot be compared
        return False
    # What only is itself may hold another number the next time, and so may a class whose
    # comparison is that of its base.
    return "__eq__" in vars(type(rule))


def _answer(
    asked: _World, rule: LearningRule, params: Mapping[str, Any]
) -> frozenset[str] | None:  # fmt: skip
    live: Counter[str] = Counter()
    same = {p.name for p in asked.structure.program.inputs_of("param")}
    for world in _worlds(asked):
        if not same:
            break
        steps = Steps(world.structure, rule, world.window, "probe")
        programs = [p for p in (_step(steps), _influence(world)) if p is not None]
        if len(programs) < 2 or sum(map(_effort, programs)) > LONGEST:
            return None
        tolerance = TOLERANCE if steps.dtype is F64 else SINGLE
        for point in range(len(SCALES)):
            if point >= FIRST and all(live[n] >= ENOUGH for n in same):
                break
            found = _tried(steps, programs, point, world.constants, {}, tolerance)
            if not found.finite:
                found = _tried(steps, programs, point, world.constants, params, tolerance)
            if not found.finite and (point or world is not asked):
                continue  # beyond what the model was made for
            live.update(found.live)
            same -= found.different
            if not same:
                break
    return frozenset(n for n in same if live[n])


def _influence(world: _World) -> Program | None:
    """Return the step of D-RTRL."""
    d_rtrl = resolve("d_rtrl")
    return _remembered(
        _INFLUENCES, world.key,
        lambda: _step(Steps(world.structure, d_rtrl, world.window, "probe")),
    )  # fmt: skip


def _worlds(world: _World) -> Iterator[_World]:
    """Yield the model, and itself with other outcomes of its comparisons and kinks if any."""
    yield world
    for kinks in (False, True):
        program = flagged(world.structure.program, kinks=kinks)
        if program is not None:
            other = analyse(
                program, world.constants, scope=world.structure.scope, tail=world.structure.tail
            )
            yield evolve(world, structure=other)


def _effort(program: Program) -> int:
    """Return what a run takes, in flops."""
    return sum(cost(program)) + CALL * _calls(program)


def _calls(program: Program) -> int:
    """Return how many nodes are run, if a loop without a fixed length turns as often as many do."""
    often = {"while": OFTEN}
    total = len(program.nodes)
    for node in program.nodes:
        turns = node.attrs.get("length", often.get(node.primitive.name, 1))
        total += turns * sum(map(_calls, node.regions))
    return total


@define
class _Comparison:
    """What two programs' gradients have shown so far, from one random state."""

    tolerance: float
    live: set[str] = field(factory=set)
    different: set[str] = field(factory=set)
    finite: bool = True

    def add(self, got: dict[str, Array], want: dict[str, Array]) -> None:
        for n, exact in want.items():
            size = float(np.abs(exact).max(initial=0.0))
            if not np.isfinite(size):
                self.finite = False
                self.different.add(n)
                continue
            if size > DEAD:
                self.live.add(n)
            off = float(np.abs(got[n] - exact).max(initial=0.0))
            if not off <= self.tolerance * max(size, 1e-3):
                self.different.add(n)


def _step(steps: Steps) -> Program | None:
    """Return the online step with gradients of parameters, or None if its traces are too large."""
    if sum(a.type.size for a in steps.traces) > LARGEST:
        return None
    program = online_step(steps)
    b = Builder(program.name, share=True)
    given = {p.name: Tracer(b, b.input(p.name, p.type, p.role)) for p in program.inputs}
    out = call(b, program, given)
    weights = {o.role.of[0]: out[o.key] for o in program.outputs if o.role.kind == "grad"}
    grads = Sequences(Forms(steps), 1).parameter_gradients(b, given, weights)
    pairs: list[Any] = [(x.value, Role("grad", (n,))) for n, x in grads.items()]
    pairs += [(operand(b, out[o.key]), o.role) for o in program.outputs if o.role.kind != "grad"]
    return lower(dce(b.finish(pairs)))


def _tried(steps: Steps, programs: list[Program], *given: Any) -> _Comparison:
    """Return what `_run` does, with indices as large as the tables allow."""
    nodes = [n for program in programs for n in program.nodes if n.primitive.name == "gather"]
    rows = {n.inputs[0].type.shape[n.attrs["axis"]] for n in nodes} - {1}
    for count in sorted(rows | {2}, reverse=True):
        try:
            return _run(steps, programs, *given, integers=count)
        except IndexError:
            continue
    return _run(steps, programs, *given, integers=1)


def _run(
    steps: Steps, programs: list[Program], point: int, constants: Mapping[str, Any],
    params: Mapping[str, Any], tolerance: float, *, integers: int,
) -> _Comparison:  # fmt: skip
    """Compare the gradients of both programs at every step, from one random state."""
    rng = np.random.default_rng(point)
    ports = {p.name: p for program in programs for p in program.inputs}
    scale = SCALES[point]
    held = {n: _random(rng, p.role.kind, p.type, scale, integers) for n, p in ports.items()}
    held |= {n: np.asarray(x) * np.exp(0.3 * held[n]) for n, x in params.items() if n in held}
    held |= {n: np.asarray(x) for n, x in constants.items() if n in held}
    for name, shared in steps.shared.items():
        if name in held and not shared.learned:
            given = shared.initial
            held[name] = np.asarray(given(held) if callable(given) else given, held[name].dtype)
    found = _Comparison(tolerance)
    # Traces of the two may have one name, and each has its own.
    own = [
        {p.name: _random(rng, "trace", p.type) for p in program.inputs_of("trace")}
        for program in programs
    ]
    for _ in range(STEPS_PROBED):
        held |= {
            n: _random(rng, p.role.kind, p.type, scale, integers)
            for n, p in ports.items()
            if _varies(p)
        }
        with np.errstate(all="ignore"):
            made = [
                evaluate(program, {**held, **mine})
                for program, mine in zip(programs, own, strict=True)
            ]
        # Both see the states of the first.
        keys = {n: f"{p.role.kind}({n})" for n, p in ports.items()}
        for out in reversed(made):
            held |= {n: out[key] for n, key in keys.items() if key in out}
        own = [
            {p.name: out[str(p.role)] for p in program.inputs_of("trace") if str(p.role) in out}
            for program, out in zip(programs, made, strict=True)
        ]
        got, want = ({k[5:-1]: x for k, x in out.items() if k[:5] == "grad("} for out in made)
        found.add(got, want)
        if len(found.different) == len(want):
            break
    return found


def _varies(port: Input) -> bool:
    """Whether an input is another one in each step."""
    return port.role.kind in ("input", "target", "weight") or (
        port.role.kind == "noise" and port.role.of != (SEQUENCE,)
    )


def _random(
    rng: np.random.Generator, kind: str, type: TensorType, scale: float = 1.0, integers: int = 1
) -> Array:
    if kind == "trace":
        return np.zeros(type.shape, type.dtype.numpy())
    if type.dtype is U32:
        return rng.integers(0, 2**32, size=type.shape, dtype=np.uint32)
    if not type.dtype.is_float:
        # Flags of both kinds, classes, rows.
        top = 2 if type.dtype is BOOL else integers
        return rng.integers(0, top, size=type.shape).astype(type.dtype.numpy())
    drawn = np.asarray((0.5 if kind == "param" else scale) * rng.normal(size=type.shape))
    # Buffers may be variances, and weights of losses are none below zero.
    return np.abs(drawn) if kind in ("buffer", "weight") else drawn
