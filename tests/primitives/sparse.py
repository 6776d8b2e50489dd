"""Draws of sparse products, their nonzeros anywhere and in any format, and of embeddings."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from hypothesis import strategies as st

import etp
from tests.primitives.drawn import Drawn, normal, register, sizes

seeds = st.integers(0, 999)


@st.composite
def sparse_matmul(draw: Any) -> Drawn:
    n_in, n_out, seed = draw(sizes()), draw(sizes()), draw(seeds)
    places = draw(st.lists(st.integers(0, n_in * n_out - 1), min_size=1, unique=True))
    rows, cols = np.divmod(np.asarray(places), n_out)
    triple = (rows, cols, (n_in, n_out))
    matrix = sp.coo_array((np.ones(rows.size), (rows, cols)), shape=(n_in, n_out))
    kind = draw(st.sampled_from(["triple", "pattern", "csr", "csc", "coo"]))
    given = {"triple": triple, "pattern": etp.sparse_pattern(triple)}
    sparse_mat = given[kind] if kind in given else matrix.asformat(kind)
    lead = draw(st.lists(sizes(1, 3), max_size=2))
    weights = {"w": normal(seed, rows.size)}
    if draw(st.booleans()):
        weights["bias"] = normal(seed + 1, n_out)
    return Drawn(
        lambda x, p: etp.sparse_matmul(x, p["w"], sparse_mat=sparse_mat, bias=p.get("bias")),
        normal(seed + 2, *lead, n_in), weights, text=f"sparse_matmul {kind} {rows} {cols}",
    )  # fmt: skip


@st.composite
def embedding(draw: Any) -> Drawn:
    count, seed = draw(sizes()), draw(seeds)
    lead, rest = (draw(st.lists(sizes(1, 3), max_size=2)) for _ in range(2))
    indices = np.random.default_rng(seed).integers(0, count, lead, dtype=np.int32)
    return Drawn(
        lambda x, p: etp.embedding(x, p["w"]), indices, {"w": normal(seed, count, *rest)},
        indices=count, text="embedding",
    )  # fmt: skip


register("etp.sparse_matmul", sparse_matmul())
register("etp.embedding", embedding())
