"""Draws of the primitives that are products of named axes."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

import etp
from tests.primitives.drawn import Drawn, normal, register, sizes

seeds = st.integers(0, 999)


def given_bias(draw: Any, seed: int, *shape: int) -> dict[str, np.ndarray]:
    """Return a bias, or none."""
    return {"bias": normal(seed + 1, *shape)} if draw(st.booleans()) else {}


@st.composite
def matmul(draw: Any) -> Drawn:
    n_in, n_out, seed = draw(sizes()), draw(sizes()), draw(seeds)
    lead = draw(st.lists(sizes(1, 3), max_size=2))
    weights = {"w": normal(seed, n_in, n_out), **given_bias(draw, seed, n_out)}
    return Drawn(
        lambda x, p: etp.matmul(x, p["w"], p.get("bias")),
        normal(seed + 2, *lead, n_in), weights, text="matmul",
    )  # fmt: skip


@st.composite
def element_wise(draw: Any) -> Drawn:
    shape, seed = draw(st.lists(sizes(1, 3), min_size=1, max_size=3)), draw(seeds)
    function = draw(st.sampled_from([None, etp.xp.tanh, etp.xp.exp]))
    return Drawn(
        lambda x, p: x * etp.element_wise(p["w"], function),
        normal(seed + 2, *shape), {"w": normal(seed, *shape)}, text="element_wise",
    )  # fmt: skip


@st.composite
def einsum(draw: Any) -> Drawn:
    """Letters of all three, summed, of input and result, of weight and result, or of one alone."""
    most = (2, 2, 2, 2, 1, 1)
    letters = iter("aPSbDQZRij")  # some of which the compiler has other uses for
    parts = ["".join(next(letters) for _ in range(draw(st.integers(0, n)))) for n in most]
    both, summed, ahead, out, of_x, of_w = parts
    terms = (both + summed + ahead + of_x, both + summed + out + of_w, both + ahead + out)
    x, w, y = (list(draw(st.permutations(term))) for term in terms)
    extents = {c: draw(sizes(1, 3)) for c in "".join(terms)}
    spec, seed = f"{''.join(x)},{''.join(w)}->{''.join(y)}", draw(seeds)
    shapes = [tuple(extents[c] for c in term) for term in (x, w, y)]
    weights = {"w": normal(seed, *shapes[1]), **given_bias(draw, seed, *shapes[2])}
    return Drawn(
        lambda x, p: etp.einsum(spec, x, p["w"], p.get("bias")), normal(seed + 2, *shapes[0]),
        weights, text=f"einsum {spec}",
    )  # fmt: skip


@st.composite
def grouped(draw: Any) -> Drawn:
    g, n_in, n_out, seed = draw(sizes(1, 3)), draw(sizes()), draw(sizes()), draw(seeds)
    lead = draw(st.lists(sizes(1, 2), max_size=1))
    weights = {"w": normal(seed, g, n_in, n_out), **given_bias(draw, seed, g, n_out)}
    return Drawn(
        lambda x, p: etp.grouped_matmul(x, p["w"], p.get("bias")),
        normal(seed + 2, *lead, g, n_in), weights, text="grouped_matmul",
    )  # fmt: skip


@st.composite
def lora(draw: Any) -> Drawn:
    n_in, n_out, rank, seed = draw(sizes()), draw(sizes()), draw(sizes(1, 3)), draw(seeds)
    alpha = draw(st.sampled_from([1.0, 0.5, -2.0]))
    weights = {"b": normal(seed, n_in, rank), "a": normal(seed + 1, rank, n_out)}
    weights |= given_bias(draw, seed + 3, n_out)
    return Drawn(
        lambda x, p: etp.lora_matmul(x, p["b"], p["a"], alpha=alpha, bias=p.get("bias")),
        normal(seed + 2, n_in), weights, text="lora_matmul",
    )  # fmt: skip


register("etp.matmul", matmul())
register("etp.element_wise", element_wise())
register("etp.einsum", einsum())
register("etp.einsum (groups)", grouped())
register("etp.matmul (low rank)", lora())
