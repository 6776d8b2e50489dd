"""Which points of the rule language are legal, and why the others are not."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

from attrs import fields_dict, frozen

from ..compiler.scope import Scope
from ..filters import GammaLambda
from .axes import choices, legal
from .points import Factorised, Jacobian, STDPPair


@frozen
class Law:
    """What has to hold between the values of some axes, and why."""

    axes: tuple[str, ...]
    reason: str
    holds: Callable[[Any], bool]


def _without(axis: str, c: Any) -> bool:
    return not c.storage.whole or getattr(c, axis) is None


LAWS = (
    Law(
        ("scope", "recursion"), "a scope is how much of the derivative of new states by old ones "
        "is followed, and only recursion 'jacobian' follows it",
        lambda c: c.scope == Scope() or isinstance(c.recursion, Jacobian),
    ),
    Law(
        ("storage", "scope"), "random products stand for the whole influence",
        lambda c: not c.storage.whole or c.scope.name == "full",
    ),
    Law(
        ("storage", "recursion"), "random products have the influence as their mean only where "
        "they are moved on by the derivative itself",
        lambda c: not c.storage.whole or c.recursion == Jacobian(),
    ),
    *(
        Law(
            ("storage", axis), "a random product is no sum that a filter could act on: signs "
            "drawn in one step belong to both of its factors",
            partial(_without, axis),
        )
        for axis in ("pre", "post", "outer")
    ),
    Law(
        ("storage", "pre"), "a pair of orders in time is a sum of two products, which one product "
        "of factors cannot hold",
        lambda c: not (isinstance(c.storage, Factorised) and isinstance(c.pre, STDPPair)),
    ),
    Law(
        ("outer", "signal"), "there is one modulator beside the data, and it releases what the "
        "outer trace keeps",
        lambda c: not (isinstance(c.outer, GammaLambda) and c.signal.modulated),
    ),
    Law(
        ("outer", "window"), "gradients are kept step by step, and a longer window is "
        "differentiated as a whole",
        lambda c: not isinstance(c.outer, GammaLambda) or c.window < 2,
    ),
    Law(
        ("signal", "window"), "a window differentiates the loss itself, so no other signal is "
        "heard in it",
        lambda c: c.signal.symmetric or c.window == 0,
    ),
)  # fmt: skip


def broken(point: Any) -> Law | None:
    """Return a law that a point does not obey, or None."""
    return next((law for law in LAWS if not law.holds(point)), None)


def instead(point: Any, law: Law) -> str:
    """Return how a point is made legal by another value on one of the axes of a law."""
    values = {name: getattr(point, name) for name in fields_dict(type(point))}
    ways = []
    for axis in law.axes:
        other = (SimpleNamespace(**{**values, axis: x}) for x in choices()[axis])
        found = [legal(getattr(p, axis)) for p in other if broken(p) is None]
        if found:
            ways.append(f"{axis} " + " or ".join(found))
    return "choose " + ", or ".join(ways) if ways else "choose other values for several of these"
