"""The spike as JAX sees it: a step whose derivative is the surrogate of the IR."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
from jax import lax

from etp_ir.core import Program
from etp_ir.primitive import get
from etp_ir.tracer import bind, trace
from etp_ir.transforms import jvp
from etp_ir.types import type_of


def spike(x: jax.Array, *, surrogate: str | Program) -> jax.Array:
    """Return 1 where ``x`` is positive, else 0."""
    return _with_surrogate(surrogate)(x)


@cache
def _with_surrogate(surrogate: str | Program) -> Callable[[jax.Array], jax.Array]:
    def step(x: jax.Array) -> jax.Array:
        return lax.convert_element_type(x > 0, x.dtype)

    def tangent(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
        from .lower import run

        (x,), (dx,) = primals, tangents
        program, _ = trace(
            lambda x: bind(get("spike"), x, surrogate=surrogate), {"x": type_of(x)}, name="spike"
        )
        return step(x), run(jvp(program, ["x"]), [x, dx])[1]

    function = jax.custom_jvp(step)
    function.defjvp(tangent)
    return function
