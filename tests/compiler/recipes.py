"""Models made from a description: what hypothesis draws, and what a failure prints.

A recipe is data. Its text can be pasted into a test, and `build` makes the model of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import fields, frozen

import etp
from etp import xp

N_IN, N_OUT = 2, 2
SOURCES = ("x", "below", "skip", "top", "own0", "own1", "own2")
WEIGHTS = (
    "plain", "mask", "abs_sign", "sum", "concat", "slice", "tied", "standardised", "fast", "driven",
)  # fmt: skip
TAILS = (
    "none", "slice", "split", "concat", "reshape", "permute", "roll", "gather", "broadcast",
    "layer_norm", "softmax", "mean_pool", "mean", "product", "chain",
)  # fmt: skip
# Ways of a weight to act; expressions and plain products are those of matrices.
OPERATIONS = ("matmul", "lora", "sparse", "conv", "einsum", "embedding", "own")
DECAYS = ("fixed", "vector", "scalar", "plain")
STARTS = ("zero", "fixed", "trained")


class Told:
    """Text that leaves out what is as by default, so that a recipe fits into a test."""

    def __repr__(self) -> str:
        shown = [
            f"{a.name}={getattr(self, a.name)!r}" for a in fields(type(self))
            if getattr(self, a.name) != a.default
        ]  # fmt: skip
        return f"{type(self).__name__}({', '.join(shown)})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))


@frozen(repr=False)
class Product(Told):
    """A weight product and the way of its result to the state.

    Attributes
    ----------
    source
        ``x``, the layer below, the first layer (``skip``), the last layer (``top``, one step old
        unless it is the layer itself), or a state of the layer.
    weight, tail
        Expression of the weight; what happens to the result.
    traced
        Whether the weight goes through an eligibility-trace product or a plain one.
    bias
        Whether a trained bias is added.
    gates
        State that the result multiplies, through a sigmoid; by default it is added.
    operation
        How the weight acts: as a matrix, or as one of low rank, of few nonzeros, as a kernel, on
        pairs of the input and itself, on a looked-up index, or in an operation declared here.
    """

    source: str = "x"
    weight: str = "plain"
    tail: str = "none"
    traced: bool = True
    bias: bool = False
    gates: int | None = None
    operation: str = "matmul"


@frozen(repr=False)
class Update(Told):
    """One assignment: ``state = f(decay * state + couplings + products)``.

    Attributes
    ----------
    couplings
        States whose current values enter position by position, as ``0.3 sin(s)``.
    links
        Sources that enter without a weight: cut or repeated to the width of the state, and
        moved by one position.
    """

    state: int
    decay: str | None = "fixed"
    couplings: tuple[int, ...] = ()
    products: tuple[Product, ...] = ()
    squash: bool = True
    links: tuple[str, ...] = ()


@frozen(repr=False)
class Layer(Told):
    """States of one width, where they start, and their assignments in order."""

    width: int
    starts: tuple[str, ...]
    updates: tuple[Update, ...]


@frozen(repr=False)
class Recipe(Told):
    """A model: layers, whether the readout is a traced product, and the seed of its numbers."""

    layers: tuple[Layer, ...]
    traced_readout: bool = True
    seed: int = 0


def build(recipe: Recipe) -> etp.Module:
    """Return the model that a recipe describes."""
    return Net(recipe)


class Net(etp.Module):
    """Layers one on another, and a readout of every state of the last."""

    def __init__(self, recipe: Recipe) -> None:
        rng = np.random.default_rng(recipe.seed)
        shared: dict[Any, etp.Param] = {}
        widths = {"x": N_IN, "top": recipe.layers[-1].width, "skip": recipe.layers[0].width}
        self.layers = []
        for i, layer in enumerate(recipe.layers):
            below = recipe.layers[i - 1].width if i else N_IN
            self.layers.append(Cell(layer, {**widths, "below": below}, rng, shared))
        last = recipe.layers[-1]
        self.readout = etp.Param(rng.normal(size=(last.width * len(last.starts), N_OUT)))
        self.traced = recipe.traced_readout

    def __call__(self, x: Any) -> Any:
        below = x
        for layer in self.layers:
            sources = {
                "x": x, "below": below,
                "top": self.layers[-1].states[0].value, "skip": self.layers[0].states[0].value,
            }  # fmt: skip
            layer.advance(sources)
            below = layer.states[-1].value
        read = xp.concat([s.value for s in self.layers[-1].states])
        return etp.matmul(read, self.readout) if self.traced else read @ self.readout


class Cell(etp.Module):
    """One layer."""

    def __init__(
        self, layer: Layer, widths: dict[str, int], rng: np.random.Generator,
        shared: dict[Any, etp.Param],
    ) -> None:  # fmt: skip
        n = layer.width
        self.states = [etp.State((n,), init=_start(kind, n, rng)) for kind in layer.starts]
        self.updates = [Assignment(u, n, widths, rng, shared) for u in layer.updates]

    def advance(self, sources: dict[str, Any]) -> None:
        """Carry out the assignments in order."""
        for update in self.updates:
            update.apply(self.states, sources)


def _start(kind: str, n: int, rng: np.random.Generator) -> Any:
    drawn = rng.normal(size=n)
    return {"zero": None, "fixed": drawn, "trained": etp.Param(drawn)}[kind]


def _fitted(x: Any, n: int) -> Any:
    """Return the elements of ``x``, moved by one, cut or repeated to ``n`` of them."""
    moved = xp.roll(x, 1)
    return moved[:n] if moved.shape[0] >= n else xp.concat([moved, moved[: n - moved.shape[0]]])


class Assignment(etp.Module):
    """One assignment with its parameters."""

    def __init__(
        self, update: Update, n: int, widths: dict[str, int], rng: np.random.Generator,
        shared: dict[Any, etp.Param],
    ) -> None:  # fmt: skip
        self.recipe = update
        if update.decay in ("vector", "scalar", "plain"):
            self.decay = etp.Param(rng.normal(size=() if update.decay == "scalar" else n))
        self.products = [Term(p, n, widths, rng, shared) for p in update.products]

    def apply(self, states: list[etp.State], sources: dict[str, Any]) -> None:
        """Assign the state."""
        u = self.recipe
        total = self.kept(states[u.state].value)
        for j in u.couplings:
            total = total + 0.3 * xp.sin(states[j].value)
        given = {**sources, **{f"own{i}": s.value for i, s in enumerate(states)}}
        for source in u.links:
            total = total + 0.4 * _fitted(given[source], total.shape[0])
        for term in self.products:
            y = term(given)
            gates = term.recipe.gates
            total = total + (y if gates is None else xp.sigmoid(y) * states[gates].value)
        states[u.state].value = xp.tanh(total) if u.squash else total

    def kept(self, value: Any) -> Any:
        """Return what is kept of the state's value."""
        kind = self.recipe.decay
        if kind is None:
            return xp.zeros_like(value)
        if kind == "fixed":
            return 0.7 * value
        if kind == "plain":
            return xp.sigmoid(self.decay.value) * value
        return etp.element_wise(self.decay, xp.sigmoid) * value


# -- operations ----------------------------------------------------------------------------
class Operator:
    """A weight of some shape that takes a vector of ``rows`` to one of ``columns``."""

    def __init__(self, rows: int, columns: int, rng: np.random.Generator) -> None:
        self.rows, self.columns = rows, columns
        self.shape: tuple[int, ...] = (rows, columns)

    def __call__(self, x: Any, w: Any) -> Any:
        return etp.matmul(x, w)


class LowRank(Operator):
    def __init__(self, rows: int, columns: int, rng: np.random.Generator) -> None:
        super().__init__(rows, columns, rng)
        self.shape = (rows + columns, 1)

    def __call__(self, x: Any, w: Any) -> Any:
        return etp.lora_matmul(x, w[: self.rows], w[self.rows :].T, alpha=0.7)


class Sparse(Operator):
    def __init__(self, rows: int, columns: int, rng: np.random.Generator) -> None:
        super().__init__(rows, columns, rng)
        mask = rng.random((rows, columns)) < 0.5
        mask[0, 0] = True
        self.matrix = (*np.nonzero(mask), (rows, columns))
        self.shape = (int(mask.sum()),)

    def __call__(self, x: Any, w: Any) -> Any:
        return etp.sparse_matmul(x, w, sparse_mat=self.matrix)


class Kernel(Operator):
    def __init__(self, rows: int, columns: int, rng: np.random.Generator) -> None:
        super().__init__(rows, columns, rng)
        taps = max(2, rows - columns + 1)
        self.padding = [(0, columns - rows + taps - 1)]
        self.shape = (taps, 1, 1)

    def __call__(self, x: Any, w: Any) -> Any:
        return etp.conv(xp.reshape(x, (-1, 1)), w, padding=self.padding)[:, 0]


class Pairs(Operator):
    def __init__(self, rows: int, columns: int, rng: np.random.Generator) -> None:
        super().__init__(rows, columns, rng)
        self.shape = (columns, rows, rows)

    def __call__(self, x: Any, w: Any) -> Any:
        return etp.einsum("ij,oij->o", xp.reshape(x, (-1, 1)) * xp.cos(x), w)


class Looked(Operator):
    def __init__(self, rows: int, columns: int, rng: np.random.Generator) -> None:
        super().__init__(rows, columns, rng)
        self.shape = (2, columns)

    def __call__(self, x: Any, w: Any) -> Any:
        return etp.embedding(xp.astype(x[0] > 0, xp.int32), w)


class Own(Operator):
    def __call__(self, x: Any, w: Any) -> Any:
        return OWN(x, xp.sin(x), w)


OWN = etp.register_primitive(
    "test.recipes", lambda x, z, w: xp.tanh(xp.matmul(x, w)) + xp.matmul(z, w), {"w": "io->o"}
)
OPERATORS: dict[str, type[Operator]] = dict(
    zip(OPERATIONS, (Operator, LowRank, Sparse, Kernel, Pairs, Looked, Own), strict=True)
)


class Term(etp.Module):
    """One product with its weight expression and its tail."""

    def __init__(
        self, product: Product, n: int, widths: dict[str, int], rng: np.random.Generator,
        shared: dict[Any, etp.Param],
    ) -> None:  # fmt: skip
        self.recipe, self.n = product, n
        rows = widths.get(product.source, n)
        columns = {
            "slice": n + 2, "split": 2 * n, "concat": n - 1, "broadcast": 1, "mean_pool": 2 * n,
        }.get(product.tail, n)  # fmt: skip
        self.act = OPERATORS[product.operation](rows, columns, rng)
        self.w = self.main(product.weight, (rows, columns), rng, shared)
        if product.operation != "matmul":
            self.w = etp.Param(rng.normal(size=self.act.shape))
        if product.weight in ("sum", "concat"):
            extra = (1, columns) if product.weight == "concat" else (rows, columns)
            self.v = etp.Param(rng.normal(size=extra))
        if product.tail in ("product", "chain"):
            self.w2 = etp.Param(rng.normal(size=(n, n)))
        if product.bias:
            self.b = etp.Param(rng.normal(size=columns))
        self.mask = np.array(rng.integers(0, 2, (rows, columns)), np.float64)
        self.mask[0] = 1.0
        self.sign = np.where(rng.random((rows, columns)) < 0.5, -1.0, 1.0)
        self.index = np.array(rng.integers(0, n, n))

    def main(
        self, kind: str, shape: tuple[int, int], rng: np.random.Generator,
        shared: dict[Any, etp.Param],
    ) -> etp.Param:  # fmt: skip
        """Return the first parameter of the weight."""
        rows, columns = shape
        own = {"concat": (rows - 1, columns), "slice": (rows + 1, columns + 1)}.get(kind, shape)
        param = etp.Param(rng.normal(size=own))
        return shared.setdefault(shape, param) if kind == "tied" else param

    def weight(self, sources: dict[str, Any]) -> Any:
        """Return the effective weight."""
        kind, w = self.recipe.weight, self.w
        if kind == "mask":
            return self.mask * w
        if kind == "abs_sign":
            return xp.abs(w) * self.sign
        if kind == "sum":
            return w + self.v
        if kind == "concat":
            return xp.concat([self.v, w], axis=0)
        if kind == "slice":
            return w[1:, :-1]
        if kind == "standardised":
            centred = w - xp.mean(w, axis=0, keepdims=True)
            return centred / xp.sqrt(xp.mean(centred * centred) + 0.5)
        if kind == "fast":
            return w * (1.0 + 0.3 * xp.tanh(xp.sum(sources["own0"])))
        if kind == "driven":
            return w * (1.0 + 0.3 * xp.tanh(sources["x"][0]))
        return w

    def __call__(self, sources: dict[str, Any]) -> Any:
        r = self.recipe
        x, w = sources[r.source], self.weight(sources)
        if r.traced or r.operation != "matmul":
            y = self.act(x, w)
            y = y + etp.element_wise(self.b) if r.bias else y
        else:
            y = xp.matmul(x, w) + (self.b.value if r.bias else 0.0)
        return self.tail(y, sources)

    def tail(self, y: Any, sources: dict[str, Any]) -> Any:
        """Return the result on its way to the state."""
        n, kind = self.n, self.recipe.tail
        if kind == "slice":
            return y[1 : n + 1]
        if kind == "split":
            a, b = xp.split(y, 2)
            return a * xp.sigmoid(b)
        if kind == "concat":
            return xp.concat([y, 0.5 * sources["x"][:1]])
        if kind == "reshape":
            return xp.reshape(xp.tanh(xp.reshape(y, (n, 1))), (n,))
        if kind == "permute":
            rows = 2 if n % 2 == 0 else 1
            return xp.reshape(xp.permute_dims(xp.reshape(y, (rows, n // rows)), (1, 0)), (n,))
        if kind == "roll":
            return xp.roll(y, 1)
        if kind == "gather":
            return xp.take(y, self.index)
        if kind == "broadcast":
            return xp.broadcast_to(y, (n,))
        if kind == "layer_norm":
            d = y - xp.mean(y)
            return d / xp.sqrt(xp.mean(d * d) + 0.5)
        if kind == "softmax":
            return n * xp.softmax(y)
        if kind == "mean_pool":
            return xp.mean(xp.reshape(y, (n, 2)), axis=1)
        if kind == "mean":
            return xp.broadcast_to(xp.reshape(xp.mean(y), (1,)), (n,))
        if kind == "product":
            return etp.matmul(xp.tanh(y), self.w2)
        if kind == "chain":
            return y + xp.tanh(y) @ self.w2
        return y
