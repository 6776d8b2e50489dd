"""What the input of a weight product reaches, and what the weight, by letters and its zeros."""

from __future__ import annotations

from typing import Any

import numpy as np

from etp_ir.bilinear import Join
from etp_ir.core import Value

from ..rules.algebra import STATE
from .axes import axes_of
from .positions import Known
from .uses import Use


def through_letters(
    use: Use, shape: tuple[int, ...], reached: np.ndarray, weight: np.ndarray | None, known: Known
) -> np.ndarray:
    """Return which positions each element of the input reaches.

    Parameters
    ----------
    shape
        Shape of the input.
    reached
        Positions that each element of the result reaches: [position, element].
    weight
        Where the weight can differ from zero; everywhere if None.
    """
    form = use.form
    y, letters = _spread(
        reached.reshape(-1, *use.output.type.shape).astype(float), form.y, form.joins, known
    )
    w = np.ones(use.weight.type.shape) if weight is None else weight.astype(float)
    fine = axes_of(form).looked_up(form.x or "")
    kept = "".join(c for c in fine if c in letters + form.w)
    met = np.einsum(f"{STATE}{letters},{form.w}->{STATE}{kept}", y, w) > 0
    return _gathered(met, kept, form.x or "", form.joins, shape, known)


def met_by_weight(use: Use, weight: np.ndarray | None, known: Known) -> np.ndarray:
    """Return which elements of the result some element of the weight acts on, in its shape.

    Parameters
    ----------
    weight
        Where the weight can differ from zero; everywhere if None.
    """
    form, shape = use.form, use.output.type.shape
    w = np.ones(use.weight.type.shape) if weight is None else weight.astype(float)
    kept = "".join(c for c in axes_of(form).looked_up(form.y) if c in form.w)
    met = np.einsum(f"{form.w}->{kept}", w)[None] > 0
    return _gathered(met, kept, form.y, form.joins, shape, known).reshape(shape)


def _table(join: Join, known: Known) -> np.ndarray:
    index = join.index
    return np.asarray(known[index] if isinstance(index, Value) else index)


def _spread(y: np.ndarray, letters: str, joins: Any, known: Known) -> tuple[np.ndarray, str]:
    """Return sets over the letters of tables in place of those looked up; nothing where empty."""
    for c in letters:
        if c in joins:
            axis, table = letters.index(c) + 1, _table(joins[c], known)
            nothing = np.zeros((*y.shape[:axis], 1, *y.shape[axis + 1 :]))
            y = np.take(np.concatenate([y, nothing], axis), table, axis=axis)
            letters = letters.replace(c, joins[c].letters)
    return y, letters


def _gathered(
    met: np.ndarray, letters: str, x: str, joins: Any, shape: tuple[int, ...], known: Known
) -> np.ndarray:
    """Return sets over the input, each of its elements gathering from where it is looked up."""
    count = met.shape[0]
    out = np.zeros((count, *shape), bool)
    sizes = dict(zip(letters, met.shape[1:], strict=True))
    grid = dict(zip(letters, np.ix_(*(np.arange(sizes[c]) for c in letters)), strict=True))
    index: list[Any] = []
    valid: Any = np.ones((1,) * len(letters), bool)
    for c in x:
        if c not in joins:
            # A letter that nothing else has is summed over: every element along it is met.
            index.append(grid.get(c))
            continue
        table = _table(joins[c], known)
        position = table[tuple(grid[k] for k in joins[c].letters)]
        valid = valid & (position >= 0)
        index.append(np.maximum(position, 0))
    whole = np.moveaxis(met & valid, 0, -1)
    lone = [i for i, k in enumerate(index) if k is None]
    # Axes that are met everywhere are filled afterwards from their first element.
    target = tuple(np.broadcast_to(0 if k is None else k, whole.shape[:-1]) for k in index)
    sets = np.moveaxis(out, 0, -1)
    np.logical_or.at(sets, target, whole)
    for axis in lone:
        sets[...] = np.take(sets, [0], axis=axis)
    return np.moveaxis(sets, -1, 0).reshape(count, -1)
