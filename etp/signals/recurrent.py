"""Products of weights that lead from units to units, and what types of cell the units are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import evolve, frozen

from etp_ir import ops
from etp_ir.core import Node, Operand, Value
from etp_ir.errors import ETPError, ModelError, ShapeError
from etp_ir.tracer import Tracer
from etp_ir.transforms.vjp import pullback

from ..given import mistake
from ..place import locate

if TYPE_CHECKING:
    from ..compiler.boundary import Boundary
    from ..compiler.structure import HiddenGroup, Structure
    from ..compiler.uses import Use

Array = np.ndarray[Any, Any]
Types = int | Sequence[int] | Array | Mapping[str, Any] | None


@frozen(eq=False)
class Recurrent:
    """A dense product of what units emitted before the step, into units.

    Attributes
    ----------
    name
        Name of its weight.
    data
        Position of the operand that the weight is multiplied with.
    group
        The units.
    before, after
        Which unit each element of that operand comes from, and each of the result goes to:
        one and zero, (elements, units).
    """

    name: str
    use: Use
    data: int
    group: HiddenGroup
    before: Array
    after: Array


def recurrent_products(structure: Structure, what: str) -> list[Recurrent]:
    """Return the products through which old states of a group reach its new ones.

    Raises
    ------
    etp.ModelError
        If one is not dense, or mixes units before the weight.
    """
    found = []
    leads = structure.dependence.leads
    every = [v for _, v in structure.states.values() if v in structure.program.producers]
    for use, weight in structure.weights.items():
        for group in structure.groups:
            old = [structure.states[n][0] for n in group.states]
            goes = [n for n in group.states if leads(use.output, structure.states[n][1])]
            data = [
                i for i, x in enumerate(use.node.inputs)
                if i != use.operand and isinstance(x, Value) and any(leads(v, x) for v in old)
                and not any(leads(v, x) for v in every)
            ]  # fmt: skip
            form = use.form
            if not goes or not data or set(form.w) <= set(form.y) & set(form.x or form.y):
                continue
            dense = (
                form.x is not None and len(form.x) == len(form.y) == 1
                and set(form.w) == set(form.x + form.y) and not form.joins
            )  # fmt: skip
            after = _after(structure, use, group)
            if after is None:
                continue
            before = _before(structure, use.node.inputs[data[0]], group)
            if not dense or before is None:
                error = ModelError(
                    f"{what} replaces recurrent weights by means over types of cells, and "
                    f"{weight.name!r} is no dense product of what single units emit\n"
                    "use etp.matmul(z, w) with z computed unit by unit, or another rule"
                )
                locate(error, use.node.source)
                raise error
            found.append(Recurrent(weight.name, use, data[0], group, before, after))
    if not found:
        raise ModelError(
            f"{what} hands credit back through recurrent weights, and no weight leads from units "
            "to units of the same group\nuse rule 'd_rtrl'"
        )
    return found


def type_arrays(
    structure: Structure, products: Sequence[Recurrent], types: Types, seed: int
) -> dict[tuple[str, ...], Array]:
    """Return which type each unit of a group is of: one and zero, (units, types), by group.

    Raises
    ------
    etp.ShapeError
        If there is not one type for each unit.
    """
    found = {}
    for group in dict.fromkeys(p.group for p in products):
        n = structure.states[group.states[0]][0].type.size
        given: Any = types
        if isinstance(types, Mapping):
            named = [s for s in group.states if s in types]
            if not named:
                raise ShapeError(
                    f"no types are given for the units of {group.states[0]!r}\n"
                    f"give types={{{group.states[0]!r}: ...}}, one number for each of {n} units"
                )
            given = types[named[0]]
        if given is None:
            labels = np.arange(n)
        elif np.ndim(given) == 0:
            words = [seed, *group.states[0].encode()]
            labels = np.random.default_rng(words).permutation(np.arange(n) % int(given))
        else:
            labels = np.asarray(given).reshape(-1)
        if labels.shape != (n,):
            raise ShapeError(
                f"{group.states[0]!r} has {n} units, and types are given for {labels.size}\n"
                "give one type for each unit, or a number of types to draw"
            )
        _, labels = np.unique(labels, return_inverse=True)
        found[group.states] = np.eye(int(labels.max()) + 1)[labels]
    return found


def as_types(types: Any) -> Types:
    """Return types of cells as they were given, checked as far as that goes without a model."""
    if isinstance(types, Mapping):
        return {str(n): as_types(x) for n, x in types.items()}
    if types is None or isinstance(types, (int, np.integer)):
        if types is not None and types < 1:
            raise mistake(ETPError, f"types is a number of types of at least 1, got {types!r}",
                          "give a whole number from 1 on, or the type of each unit")  # fmt: skip
        return None if types is None else int(types)
    labels = np.asarray(types)
    if labels.dtype.kind not in "iu":
        raise mistake(
            ETPError, f"types are whole numbers, got {types!r}",
            "give one for each unit, or how many types to draw",
        )  # fmt: skip
    return tuple(int(i) for i in labels.reshape(-1))


def hop(
    at: Boundary, ell: Mapping[str, Tracer], products: Sequence[Recurrent],
    weights: Mapping[str, Tracer],
) -> dict[str, Tracer]:  # fmt: skip
    """Return signals on new states taken to old ones, through replaced weights of products alone.

    Paths that meet none of the products are left out.
    """
    s, b = at.pieces.structure, at.pieces.builder
    mine = {p.use.node: p for p in products}
    changed: dict[Operand, Operand] = {x.value: x.value for x in weights.values()}
    nodes = [
        _replaced(n, mine[n].use.operand, weights[mine[n].name]) if n in mine else n
        for n in s.program.nodes
    ]
    old = {n: s.states[n][0] for n in ell}
    cotangents: dict[Value, Any] = {}
    for n, x in ell.items():
        after = s.states[n][1]
        if isinstance(after, Value):
            cotangents[after] = ops.add(cotangents[after], x) if after in cotangents else x
    cut = set(s.joints)
    values = list(old.values())
    whole = pullback(b, nodes, values, cotangents, detach=cut, env=changed or None)
    cut |= {(p.use.node, p.data) for p in products}
    beside = pullback(b, s.program.nodes, values, cotangents, detach=cut)
    found = {}
    for n, v in old.items():
        if v in whole:
            found[n] = ops.sub(whole[v], beside[v]) if v in beside else whole[v]
    return found


def laid(product: Recurrent, weight: Tracer) -> Tracer:
    """Return the weight of a product with the axis of its input first."""
    form = product.use.form
    turned: Tracer = weight if form.w[0] == form.x else ops.permute(weight, (1, 0))
    return turned


def _after(structure: Structure, use: Use, group: HiddenGroup) -> Array | None:
    n = structure.states[group.states[0]][0].type.size
    for s in group.states:
        hits = structure.reaches[s].targets.get(use.output)
        if hits is not None:
            return _one_hot(hits.reshape(-1), n)
    return None


def _before(structure: Structure, x: Any, group: HiddenGroup) -> Array | None:
    from ..compiler.positions import reach

    trained: dict[Node, set[int]] = {}
    for use in structure.weights:
        trained.setdefault(use.node, set()).add(use.operand)
    found = reach(structure.program, x, trained, structure.known)
    if found.cuts:
        return None
    n = structure.states[group.states[0]][0].type.size
    total = np.zeros((x.type.size, n))
    for s in group.states:
        hits = found.targets.get(structure.states[s][0])
        if hits is not None:
            total = np.maximum(total, _one_hot(hits.reshape(-1), x.type.size).T)
    return total if total.any() and (total.sum(axis=1) <= 1).all() else None


def _one_hot(index: Array, n: int) -> Array:
    return np.where(index[:, None] == np.arange(n), 1.0, 0.0)


def _replaced(node: Node, operand: int, weight: Tracer) -> Node:
    inputs = list(node.inputs)
    inputs[operand] = weight.value
    return evolve(node, inputs=tuple(inputs))
