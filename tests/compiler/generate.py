"""Hypothesis strategies for recipes: random wiring of layers, states, weights and tails.

All functions are smooth, so that back-propagation is a true derivative.
"""

from __future__ import annotations

from typing import Any

from attrs import evolve
from hypothesis import strategies as st

from tests.compiler.recipes import (
    DECAYS,
    OPERATIONS,
    STARTS,
    TAILS,
    WEIGHTS,
    Layer,
    Product,
    Recipe,
    Update,
)  # fmt: skip


@st.composite
def recipes(draw: Any) -> Recipe:
    """Return recipes of one to three layers of one to three states."""
    depth = draw(st.sampled_from([1, 1, 1, 2, 2, 3]))
    layers = tuple(draw(_layers(i, depth)) for i in range(depth))
    return Recipe(layers, draw(st.booleans()), draw(st.integers(0, 999)))


@st.composite
def _layers(draw: Any, i: int, depth: int) -> Layer:
    count = draw(st.sampled_from([1, 1, 2, 3] if depth < 3 else [1, 1, 2]))
    starts = tuple(draw(st.sampled_from(["zero", *STARTS])) for _ in range(count))
    # A state may be left alone, and one may be assigned twice.
    order = draw(st.lists(st.integers(0, count - 1), min_size=count, max_size=count + 1))
    updates = [draw(_updates(s, count, depth)) for s in order]
    if not any(p.source == "below" for u in updates for p in u.products):
        entry = Product("below", *draw(_kinds()))
        updates[0] = _with(updates[0], entry)
    return Layer(draw(st.integers(2, 4)), starts, tuple(updates))


def _with(update: Update, product: Product) -> Update:
    return evolve(update, products=(*update.products, product))


@st.composite
def _updates(draw: Any, state: int, count: int, depth: int) -> Update:
    couplings = draw(st.lists(st.integers(0, count - 1), max_size=2, unique=True))
    products = draw(st.lists(_products(count, depth), max_size=2 if depth * count < 3 else 1))
    decay = draw(st.sampled_from([*DECAYS, "fixed", None]))
    squash, links = draw(st.booleans()), draw(st.lists(_sources(count, depth), max_size=1))
    return Update(state, decay, tuple(couplings), tuple(products), squash, tuple(links))


def _sources(count: int, depth: int) -> st.SearchStrategy[str]:
    own = [f"own{i}" for i in range(count)]
    others = ["skip", "top"] if depth > 1 else []
    return st.sampled_from(["x", "below", "below", *own, *others])


@st.composite
def _products(draw: Any, count: int, depth: int) -> Product:
    source = draw(_sources(count, depth))
    gates = draw(st.none() | st.integers(0, count - 1))
    kinds = draw(_kinds())
    plain = kinds[0] == "plain" and kinds[2]
    how = draw(st.sampled_from(["matmul"] * 4 + list(OPERATIONS))) if plain else "matmul"
    return Product(source, *kinds, gates=gates, operation=how)


@st.composite
def _kinds(draw: Any) -> tuple[str, str, bool, bool]:
    """Return weight, tail, whether it is traced, and whether there is a bias."""
    weight = draw(st.sampled_from(["plain"] * 4 + list(WEIGHTS)))
    tail = draw(st.sampled_from(["none"] * 6 + list(TAILS)))
    return weight, tail, draw(st.sampled_from([True, True, True, False])), draw(st.booleans())
