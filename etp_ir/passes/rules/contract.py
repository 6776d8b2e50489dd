"""Rules of `contract`: what can be said in its letters is said there."""

from __future__ import annotations

import math
from typing import Any

from ... import ops
from ...primitives.contract import Spec, extents, parse_spec
from ...tracer import Tracer
from ..rewrite import Match, rule


def _spec(m: Match) -> Spec:
    return parse_spec(m.attrs["spec"])


def _letters(m: Match, spec: Spec) -> dict[str, int]:
    return extents(spec, m.operands[0].type, m.operands[1].type)


@rule("contract")
def constant_operand(m: Match) -> Any:
    """Take a constant operand out as a factor of the other operand, summed and spread."""
    spec = _spec(m)
    terms = (spec.x, spec.y)
    for side in (0, 1):
        number = m.constant(m.args[side])
        if number is None:
            continue
        if number == 0:
            return 0
        sizes = _letters(m, spec)
        mine, other = terms[side], terms[1 - side]
        x = m.args[1 - side]
        if not isinstance(x, Tracer):
            return None
        lost = [i for i, c in enumerate(other) if c not in spec.out]
        x = ops.reduce_sum(x, lost) if lost else x
        kept = [c for c in other if c in spec.out]
        order = [kept.index(c) for c in spec.out if c in kept]
        x = ops.permute(x, order)
        x = ops.mul(number * math.prod(sizes[c] for c in mine if c not in other + spec.out), x)
        return ops.broadcast(x, m.type.shape, [i for i, c in enumerate(spec.out) if c in other])
    return None


@rule("contract")
def broadcast_operand(m: Match) -> Any:
    """Drop the letter of a broadcast axis of an operand."""
    spec = _spec(m)
    for side in (0, 1):
        node = m.definition(m.args[side], "broadcast")
        if node is None:
            continue
        axes = node.attrs["axes"]
        term, other = (spec.x, spec.y) if side == 0 else (spec.y, spec.x)
        kept = "".join(term[a] for a in axes)
        if kept == term:
            continue
        out = "".join(c for c in spec.out if c in kept + other)
        small = m.inputs(node)[0]
        if side == 0:
            z = ops.contract(small, m.args[1], f"{kept},{other}->{out}")
        else:
            z = ops.contract(m.args[0], small, f"{other},{kept}->{out}")
        sizes = _letters(m, spec)
        repeats = math.prod(sizes[c] for c in term if c not in kept + other + spec.out)
        z = ops.mul(repeats, z)
        return ops.broadcast(z, m.type.shape, [spec.out.index(c) for c in out])
    return None


@rule("contract")
def permuted_operand(m: Match) -> Any:
    """Permute the letters of an operand instead of its axes."""
    spec = _spec(m)
    terms = [spec.x, spec.y]
    args = list(m.args)
    for side in (0, 1):
        node = m.definition(args[side], "permute")
        if node is not None:
            order = node.attrs["order"]
            terms[side] = "".join(terms[side][order.index(i)] for i in range(len(order)))
            args[side] = m.inputs(node)[0]
            return ops.contract(args[0], args[1], f"{terms[0]},{terms[1]}->{spec.out}")
    return None


@rule("contract")
def lone_letters(m: Match) -> Any:
    """Sum beforehand over letters that only one operand has and the output lacks."""
    spec = _spec(m)
    terms = [spec.x, spec.y]
    args = list(m.args)
    for side in (0, 1):
        term, other = terms[side], terms[1 - side]
        lone = [i for i, c in enumerate(term) if c not in other + spec.out]
        if lone:
            args[side] = ops.reduce_sum(args[side], lone)
            terms[side] = "".join(c for i, c in enumerate(term) if i not in lone)
            return ops.contract(args[0], args[1], f"{terms[0]},{terms[1]}->{spec.out}")
    return None


@rule("contract")
def product(m: Match) -> Any:
    """Write a contraction of equal terms as an element-wise product."""
    spec = _spec(m)
    return ops.mul(*m.args) if spec.x == spec.y == spec.out else None


@rule("permute")
def permuted_result(m: Match) -> Any:
    """Permute the output letters of a contraction instead of its result."""
    node = m.sole(m.args[0], "contract")
    if node is None:
        return None
    spec = parse_spec(node.attrs["spec"])
    out = "".join(spec.out[i] for i in m.attrs["order"])
    x, y = m.inputs(node)
    return ops.contract(x, y, f"{spec.x},{spec.y}->{out}")


@rule("reduce_sum")
def summed_result(m: Match) -> Any:
    """Leave out the output letters of a contraction that are summed next."""
    node = m.sole(m.args[0], "contract")
    if node is None:
        return None
    spec = parse_spec(node.attrs["spec"])
    out = "".join(c for i, c in enumerate(spec.out) if i not in m.attrs["axes"])
    x, y = m.inputs(node)
    return ops.contract(x, y, f"{spec.x},{spec.y}->{out}")
