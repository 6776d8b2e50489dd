"""Whether a rule's traces are the influence after all, found by numbers.

Many a rule replaces the influence by something cheaper that equals it on some models: one constant
leak in place of the transition, a product of two filters in place of a trace. Whether that is so
here is no matter of its form. The step is run from random states with random weights and inputs,
the rule's traces beside those of D-RTRL with the same scope, and both are read by random signals.
Functions of a step are analytic between their kinks: two that agree at random points agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from etp_ir import ops
from etp_ir.core import Program, Role
from etp_ir.interpreter import evaluate
from etp_ir.passes import lower
from etp_ir.passes.simplify import simplify
from etp_ir.tracer import Tracer
from etp_ir.types import F64, U32, DType, TensorType

from ..compiler.axes import float_dtype
from ..compiler.numbers import StepNumbers
from ..compiler.pieces import Pieces
from ..compiler.places import at_places
from ..compiler.structure import HiddenParamOpRelation, Structure
from ..rules.base import TraceRule
from ..rules.registry import resolve
from .memory import Gradients, TraceMemory, zeros
from .traces import STEPS

STEPS_PROBED, POINTS = 4, 2
TOLERANCE = 1e-9
# Of models in single precision: their constants are rounded.
SINGLE = 1e-5
# Above this many elements of traces a probe would cost more than it tells.
LARGEST = 2_000_000
Array = np.ndarray[Any, Any]


def coinciding(
    structure: Structure, rule: TraceRule, constants: Mapping[str, Any]
) -> frozenset[HiddenParamOpRelation]:
    """Return the relations whose traces give the gradient of the influence within the scope."""
    dtype = float_dtype(structure.program)
    memories = [
        TraceMemory(structure, r, dtype, dtype) for r in (rule, resolve("d_rtrl"))
        if isinstance(r, TraceRule)
    ]  # fmt: skip
    if rule.draws or sum(a.type.size for m in memories for a in m.arrays) > LARGEST:
        return frozenset()
    program = _program(structure, memories, dtype)
    relations = structure.relations
    tolerance = TOLERANCE if dtype is F64 else SINGLE
    live = dict.fromkeys(range(len(relations)), False)
    same = dict.fromkeys(range(len(relations)), True)
    for point in range(POINTS):
        rng = np.random.default_rng(point)
        held = {p.name: _random(rng, p.role.kind, p.type) for p in program.inputs}
        held.update({n: np.asarray(x) for n, x in constants.items() if n in held})
        for _ in range(STEPS_PROBED):
            for port in program.inputs:
                if port.role.kind in ("input", "signal"):
                    held[port.name] = _random(rng, port.role.kind, port.type)
            with np.errstate(all="ignore"):
                out = evaluate(program, held)
            for k in same:
                got, want = out[f"value(0.{k})"], out[f"value(1.{k})"]
                live[k] |= bool(np.abs(want).max(initial=0.0) > 1e-6)
                scale = tolerance * max(float(np.abs(want).max(initial=0.0)), 1e-3)
                off = float(np.abs(got - want).max(initial=0.0))
                same[k] &= bool(np.isfinite(want).all() and off <= scale)
            held.update({
                p.name: out[key] for p in program.inputs if (key := f"value(next.{p.name})") in out
            })  # fmt: skip
    return frozenset(r for k, r in enumerate(relations) if same[k] and live[k])


def _program(structure: Structure, memories: list[TraceMemory], dtype: DType) -> Program:
    """Return one step that advances both kinds of traces and reads them by given signals."""
    p = Pieces(structure, "probe")
    b = p.builder
    pairs: list[Any] = []

    def port(name: str, type: TensorType, role: Role | str) -> Tracer:
        return Tracer(b, b.input(name, type, role))

    ell = {
        n: port(f"probe.ell.{n}", old.type, "signal") for n, (old, _) in structure.states.items()
    }
    for n, (old, new) in structure.states.items():
        if isinstance(new, type(old)):
            pairs.append((new, Role("value", (f"next.{n}",))))
    for i, memory in enumerate(memories):
        held = {a.name: port(f"probe.{i}.{a.name}", a.type, "trace") for a in memory.arrays}
        one = ops.full(b, (), 1.0, dtype)
        numbers = StepNumbers(dtype, structure, b, held.get(STEPS), loss_weight=one)
        advanced = memory.advance(p, held, numbers)
        pairs += [(x.value, Role("value", (f"next.probe.{i}.{n}",))) for n, x in advanced.items()]
        for k, relation in enumerate(structure.relations):
            grads = Gradients()
            memory.read_one(relation, advanced, at_places(relation, ell), grads)
            for x in grads.values():
                pairs.append((x.value, Role("value", (f"{i}.{k}",))))
            if not grads:
                pairs.append((zeros(b, TensorType(dtype)).value, Role("value", (f"{i}.{k}",))))
    return lower(simplify(b.finish(pairs)))


def _random(rng: np.random.Generator, kind: str, type: TensorType) -> Array:
    if kind == "trace":
        return np.zeros(type.shape)
    if type.dtype is U32:
        return rng.integers(0, 2**32, size=type.shape, dtype=np.uint32)
    if not type.dtype.is_float:
        return np.zeros(type.shape, type.dtype.numpy())
    scale = 0.5 if kind == "param" else 1.0
    return np.asarray(scale * rng.normal(size=type.shape))
