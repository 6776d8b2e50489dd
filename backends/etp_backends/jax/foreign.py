"""Functions of JAX pytrees as nodes of a program: flat arrays by name in, flat arrays out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
from attrs import field, frozen
from jax import tree_util

from etp_ir import ops
from etp_ir.primitives import foreign
from etp_ir.types import type_of

from .options import compiler_options


@frozen
class TreeFunction:
    """A function of pytrees that can be called with flat dicts, also while a program is traced.

    Attributes
    ----------
    name
        Name under which nodes call it; made of what it computes, so it is the same in every
        process.
    inputs, outputs
        For each pytree the names of its arrays: their paths, joined by dots.
    types
        Types of the outputs, in order.
    result
        The pytree it returns, with shapes in place of arrays.
    """

    name: str
    inputs: tuple[tuple[str, ...], ...]
    outputs: tuple[tuple[str, ...], ...]
    types: tuple[str, ...]
    result: Any = field(eq=False, repr=False)

    def __call__(self, *trees: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return one flat dict for each pytree it returns, for flat dicts of arrays or tracers."""
        flat = [tree[n] for names, tree in zip(self.inputs, trees, strict=True) for n in names]
        results = iter(ops.foreign(*flat, function=self.name, types=self.types))
        return [{n: next(results) for n in names} for names in self.outputs]


def tree_function(label: str, function: Callable[..., Any], *trees: Any) -> TreeFunction:
    """Return a function of pytrees, which returns a tuple of them, for arguments like the given.

    Parameters
    ----------
    label
        First part of its name.
    trees
        Pytrees of arrays or shapes.
    """
    leaves, structure = tree_util.tree_flatten(trees)
    shapes = [
        jax.ShapeDtypeStruct(x.shape, x.dtype)  # type: ignore[no-untyped-call]
        for x in map(_array, leaves)
    ]
    wide = any(x.dtype.itemsize == 8 for x in shapes)
    dtypes: list[Any] = []

    def flat(*arrays: Any) -> tuple[Any, ...]:
        found = tree_util.tree_leaves(function(*tree_util.tree_unflatten(structure, arrays)))
        # A number of Python among the results has no settled type: it is given one here.
        return tuple(
            jax.lax.convert_element_type(x, dtype)
            for x, dtype in zip(found, dtypes or [_array(x).dtype for x in found], strict=True)
        )

    def precision() -> AbstractContextManager[Any]:
        return jax.enable_x64(True) if wide else nullcontext()

    with precision():
        result = jax.eval_shape(function, *tree_util.tree_unflatten(structure, shapes))
        dtypes.extend(x.dtype for x in tree_util.tree_leaves(result))
        types = tuple(str(type_of(x)) for x in tree_util.tree_leaves(result))
        options = compiler_options() or None
        text = jax.jit(flat).lower(*shapes).as_text()
    name = f"{label}.{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    alone = jax.jit(flat, compiler_options=options)

    def run(*arrays: Any) -> tuple[Any, ...]:
        with precision():
            # Inside a program XLA takes its options from the program.
            traced = any(isinstance(x, jax.core.Tracer) for x in arrays)
            return (flat if traced else alone)(*arrays)

    foreign.define(name, run)
    return TreeFunction(name, tuple(map(paths, trees)), tuple(map(paths, result)), types, result)


def paths(tree: Any) -> tuple[str, ...]:
    """Return a name for each array of a pytree: its path, joined by dots."""
    found, _ = tree_util.tree_flatten_with_path(tree)
    return tuple(tree_util.keystr(path, simple=True, separator=".") for path, _ in found)


def _array(leaf: Any) -> Any:
    return leaf if hasattr(leaf, "dtype") else jax.numpy.asarray(leaf)
