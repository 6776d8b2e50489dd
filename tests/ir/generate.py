"""Hypothesis strategies for well-typed programs, and for arguments to run them on.

Every value is kept within a known bound, and arguments of logarithms, roots and quotients are
kept away from where these misbehave, so that finite differences are meaningful.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
from hypothesis import strategies as st

from etp_ir import Builder, Program, Role, Tracer, ops
from etp_ir.fork import Fork
from etp_ir.loop import Loop
from etp_ir.primitive import get
from etp_ir.primitives.contract import LETTERS
from etp_ir.tracer import bind
from etp_ir.types import BOOL, F64, I32, U32, DType, TensorType

MAX_BOUND = 4.0
REGIONS = ("scan", "cond", "while")  # not used inside of each other
MAX_SIZE = 200
SHAPES = [(), (1,), (3,), (2, 3), (3, 2), (4, 3), (2, 1, 3)]
Step = Callable[["Maker"], "tuple[Any, float] | None"]
SMOOTH: dict[str, Step] = {}
ROUGH: dict[str, Step] = {}


@st.composite
def programs(
    draw: Any, *, smooth: bool = True, without: Collection[str] = (), dtype: DType = F64,
    max_steps: int = 10,
) -> Program:  # fmt: skip
    """Return programs of one to three outputs over floating-point and integer inputs.

    Parameters
    ----------
    smooth
        Use only primitives whose derivative is that of their value: no spikes, no detaching.
    without
        Names of primitives not to use.
    """
    builder = Builder("generated", float_dtype=dtype)
    maker = Maker(draw, builder, dtype, smooth=smooth, without=without)
    for i, shape in enumerate(draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=3))):
        maker.keep(builder_input(builder, f"x{i}", TensorType(dtype, shape)), 1.0)
    for i, shape in enumerate(draw(st.lists(st.sampled_from([(), (3,)]), max_size=1))):
        maker.integers.append(builder_input(builder, f"i{i}", TensorType(I32, shape)))
    maker.grow(draw(st.integers(1, max_steps)))
    # The last value is always among the results, so that most of the program is alive.
    chosen = [maker.pool[-1][0], *draw(st.lists(st.sampled_from(maker.values()), max_size=2))]
    return builder.finish([(x.value, Role("output", (str(i),))) for i, x in enumerate(chosen)])


def arguments(program: Program) -> st.SearchStrategy[dict[str, np.ndarray[Any, Any]]]:
    """Return a strategy for arguments within the bounds the program was made for."""
    return st.integers(0, 2**32 - 1).map(lambda seed: drawn(program, seed))


def drawn(program: Program, seed: int) -> dict[str, np.ndarray[Any, Any]]:
    """Return random arguments: floats in [-1, 1], integers in {0, 1}, any words and bits."""
    rng = np.random.default_rng(seed)

    def one(type: TensorType) -> Any:
        if type.dtype.is_float:
            return np.asarray(rng.uniform(-1, 1, type.shape), type.dtype.numpy())
        high = 2**32 if type.dtype is U32 else 2
        return np.asarray(rng.integers(0, high, type.shape)).astype(type.dtype.numpy())

    return {port.name: one(port.type) for port in program.inputs}


def builder_input(builder: Builder, name: str, type: TensorType) -> Tracer:
    """Return a new input of a builder as a tracer."""
    return Tracer(builder, builder.input(name, type, "input"))


class Maker:
    """Grows a program by random steps, with a bound known for every value."""

    def __init__(
        self, draw: Any, builder: Builder, dtype: DType, *, smooth: bool,
        without: Collection[str] = REGIONS,
    ) -> None:  # fmt: skip
        self.draw = draw
        self.builder = builder
        self.dtype = dtype
        self.smooth = smooth
        self.without = without
        self.pool: list[tuple[Tracer, float]] = []
        self.integers: list[Tracer] = []

    def grow(self, count: int) -> None:
        """Take up to ``count`` steps."""
        table = SMOOTH if self.smooth else SMOOTH | ROUGH
        names = [n for n in table if n not in self.without]
        for _ in range(count):
            made = table[self.draw(st.sampled_from(names))](self)
            if made is not None and made[0].size <= MAX_SIZE:
                self.keep(*made)

    def keep(self, x: Tracer, bound: float) -> None:
        """Add a value to the pool, scaled down if it may be large."""
        if bound > MAX_BOUND:
            x, bound = (ops.tanh(x), 1.0) if self.flip() else (ops.mul(x, 1.0 / bound), 1.0)
        self.pool.append((x, bound))

    def values(self) -> list[Tracer]:
        """Return the values made so far."""
        return [x for x, _ in self.pool]

    def flip(self) -> bool:
        """Return a random truth value."""
        return bool(self.draw(st.booleans()))

    def integer(self, low: int, high: int) -> int:
        """Return a random integer, both ends included."""
        return int(self.draw(st.integers(low, high)))

    def number(self) -> float:
        """Return a random literal, special values among them."""
        return float(self.draw(st.sampled_from([0.0, 1.0, -1.0, 0.5, -0.3, 1.7])))

    def pick(self) -> tuple[Tracer, float]:
        """Return a value with its bound, the latest one half of the time."""
        return self.pool[-1] if self.flip() else self.draw(st.sampled_from(self.pool))

    def any(self, fits: Callable[[Tracer], bool] = lambda x: True) -> tuple[Tracer, float] | None:
        """Return a value that fits, with its bound, or None."""
        found = [row for row in self.pool if fits(row[0])]
        return self.draw(st.sampled_from(found)) if found else None

    def like(self, shape: tuple[int, ...]) -> tuple[Any, float]:
        """Return a value of a shape: one there is, a smaller one broadcast, or a literal."""
        row = self.any(lambda x: x.shape == shape)
        if row is not None and self.integer(0, 5):
            return row
        scalar = self.any(lambda x: x.shape == ())
        if scalar is not None and shape != () and self.flip():
            return ops.broadcast(scalar[0], shape, ()), scalar[1]
        number = self.number()
        return number, abs(number)

    def array(self, shape: tuple[int, ...]) -> tuple[Tracer, float]:
        """Return a value of a shape that is not a literal."""
        x, bound = self.like(shape)
        if not isinstance(x, Tracer):
            x = ops.full(self.builder, shape, x, self.dtype)
        return x, bound

    def condition(self, shape: tuple[int, ...]) -> Tracer:
        """Return a truth value per element."""
        x, y = self.array(shape)[0], self.number()
        found: Tracer = self.draw(st.sampled_from([ops.lt, ops.ge]))(x, y)
        return ops.not_(found) if self.flip() else found

    def indices(self) -> Tracer:
        """Return integers that are 0 or 1."""
        if self.integers and self.flip():
            return self.draw(st.sampled_from(self.integers))
        x, _ = self.pool[-1]
        return ops.cast(ops.gt(x, 0.1), I32)


def step(table: dict[str, Step], *names: str) -> Callable[[Step], Step]:
    """Register a step under names."""

    def decorate(function: Step) -> Step:
        table.update(dict.fromkeys(names, function))
        return function

    return decorate


# -- element-wise --------------------------------------------------------------------------
def unary(table: dict[str, Step], function: Any, bound: Callable[[float], float]) -> None:
    """Register an element-wise step with a bound of its result."""

    def made(m: Maker) -> tuple[Any, float]:
        x, b = m.pick()
        return function(x), bound(b)

    table[function.__name__] = made


def positive(x: Any) -> Any:
    """Return a number of at least one half."""
    return ops.add(ops.mul(x, x), 0.5)


for _function in (ops.tanh, ops.logistic, ops.sin, ops.cos, ops.erf):
    unary(SMOOTH, _function, lambda b: 1.0)
for _function in (ops.neg, ops.abs_):
    unary(SMOOTH, _function, lambda b: b)
for _function in (ops.exp, ops.expm1):
    unary(SMOOTH, _function, math.exp)
unary(ROUGH, ops.floor, lambda b: b + 1)
unary(ROUGH, ops.sign, lambda b: 1.0)
unary(ROUGH, ops.stop_gradient, lambda b: b)


@step(SMOOTH, "log", "log1p", "sqrt")
def _of_positive(m: Maker) -> Any:
    x, b = m.pick()
    function = m.draw(st.sampled_from([ops.log, ops.log1p, ops.sqrt]))
    return function(positive(x)), b * b + 1.5


@step(SMOOTH, "add", "sub", "mul", "maximum", "minimum")
def _binary(m: Maker) -> Any:
    x, b = m.pick()
    y, c = m.like(x.shape)
    if m.flip():
        (x, b), (y, c) = (y, c), (x, b)
    name = m.draw(st.sampled_from(["add", "sub", "mul", "maximum", "minimum"]))
    return bind(get(name), x, y), b * c if name == "mul" else b + c


@step(SMOOTH, "div")
def _div(m: Maker) -> Any:
    x, _ = m.pick()
    y, c = m.like(x.shape)
    return ops.div(y, positive(x)), 2 * c


@step(SMOOTH, "pow")
def _pow(m: Maker) -> Any:
    x, b = m.pick()
    exponent = m.draw(st.sampled_from([1.0, 2.0, 0.5, -1.0]))
    return ops.pow_(positive(x), exponent), (b * b + 0.5) ** 2 + 2.0


@step(SMOOTH, "select")
def _select(m: Maker) -> Any:
    x, b = m.pick()
    y, c = m.like(x.shape)
    return ops.select(m.condition(x.shape), x, y), b + c


@step(SMOOTH, "cast")
def _cast(m: Maker) -> Any:
    return ops.cast(m.indices(), m.dtype), 1.0


# -- contractions --------------------------------------------------------------------------
@step(SMOOTH, "contract", "contract (again)", "contract (and again)")
def _contract(m: Maker) -> Any:
    x, b = m.pick()
    y, c = m.pick()
    letters = iter(LETTERS)
    left = [next(letters) for _ in range(x.ndim)]
    sizes = dict(zip(left, x.shape, strict=True))
    right: list[str] = []
    for extent in y.shape:
        shared = [k for k in left if sizes[k] == extent and k not in right]
        letter = m.draw(st.sampled_from(shared)) if shared and m.integer(0, 3) else next(letters)
        sizes[letter] = extent
        right.append(letter)
    every = list(dict.fromkeys(left + right))
    out = [k for k in m.draw(st.permutations(every)) if m.integer(0, 2)]
    if math.prod(sizes[k] for k in out) > MAX_SIZE:
        return None
    summed = math.prod(sizes[k] for k in every if k not in out)
    spec = f"{''.join(left)},{''.join(right)}->{''.join(out)}"
    return ops.contract(x, y, spec), b * c * summed


@step(SMOOTH, "conv")
def _conv(m: Maker) -> Any:
    """Any two arrays as image and kernel, which are given the axes that they lack."""
    (x, b), (w, c) = m.pick(), m.pick()
    spatial = m.integer(1, 2)
    x = ops.reshape(x, (*x.shape, *[1] * (spatial + 1 - x.ndim)))
    w = ops.reshape(w, (*w.shape, *[1] * (spatial + 2 - w.ndim)))
    channels = x.shape[-spatial - 1]
    if w.ndim != spatial + 2 or 0 in (x.size, w.size) or channels % w.shape[1]:
        return None
    groups = channels // w.shape[1]
    if w.shape[0] % groups:
        return None

    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple(m.integer(low, high) for _ in range(spatial))

    y = ops.conv(
        x, w, strides=each(1, 2), padding=tuple(zip(each(-1, 2), each(-1, 2), strict=True)),
        lhs_dilation=each(1, 2), rhs_dilation=each(1, 2), groups=groups,
    )  # fmt: skip
    return (y, b * c * math.prod(w.shape[1:])) if 0 < y.size <= MAX_SIZE else None


@step(SMOOTH, "etp.matmul")
def _etp_matmul(m: Maker) -> Any:
    row = m.any(lambda x: x.ndim >= 1)
    weight = row and m.any(lambda w: w.ndim == 2 and w.shape[0] == row[0].shape[-1])
    if row is None or weight is None:
        return None
    return bind(get("etp.matmul"), row[0], weight[0]), row[1] * weight[1] * weight[0].shape[0]


@step(SMOOTH, "etp.element_wise")
def _etp_element_wise(m: Maker) -> Any:
    x, b = m.pick()
    return bind(get("etp.element_wise"), x), b


# -- shapes --------------------------------------------------------------------------------
@step(SMOOTH, "broadcast")
def _broadcast(m: Maker) -> Any:
    x, b = m.pick()
    axis, extent = m.integer(0, x.ndim), m.integer(1, 3)
    shape = (*x.shape[:axis], extent, *x.shape[axis:])
    return ops.broadcast(x, shape, [i for i in range(len(shape)) if i != axis]), b


@step(SMOOTH, "reshape")
def _reshape(m: Maker) -> Any:
    x, b = m.pick()
    shapes = [(x.size,), (1, x.size), (x.size, 1), *[s for s in SHAPES if math.prod(s) == x.size]]
    return ops.reshape(x, m.draw(st.sampled_from(shapes))), b


@step(SMOOTH, "permute")
def _permute(m: Maker) -> Any:
    x, b = m.pick()
    return ops.permute(x, m.draw(st.permutations(range(x.ndim)))), b


@step(SMOOTH, "concat")
def _concat(m: Maker) -> Any:
    row = m.any(lambda x: x.ndim >= 1)
    if row is None:
        return None
    x, b = row
    y, c = m.array(x.shape)
    return ops.concat([x, y], m.integer(0, x.ndim - 1)), max(b, c)


@step(SMOOTH, "slice")
def _slice(m: Maker) -> Any:
    x, b = m.pick()
    rows = [(a := m.integer(0, n - 1), m.integer(a + 1, n), m.integer(1, 2)) for n in x.shape]
    start, stop, step_ = zip(*rows, strict=True) if rows else ((), (), ())
    return ops.slice_(x, start, stop, step_), b


@step(SMOOTH, "pad")
def _pad(m: Maker) -> Any:
    x, b = m.pick()
    amounts = [[m.integer(0, 1) for _ in x.shape] for _ in range(3)]
    return ops.pad(x, *amounts), b


@step(SMOOTH, "reverse")
def _reverse(m: Maker) -> Any:
    x, b = m.pick()
    return ops.reverse(x, [i for i in range(x.ndim) if m.flip()]), b


# -- reductions and indices ------------------------------------------------------------------
@step(SMOOTH, "reduce_sum")
def _reduce_sum(m: Maker) -> Any:
    x, b = m.pick()
    axes = [i for i in range(x.ndim) if m.flip()]
    return ops.reduce_sum(x, axes), b * math.prod(x.shape[i] for i in axes)


@step(SMOOTH, "reduce_max")
def _reduce_max(m: Maker) -> Any:
    row = m.any(lambda x: x.ndim >= 1)
    return row and (ops.reduce_max(row[0], [m.integer(0, row[0].ndim - 1)]), row[1])


@step(SMOOTH, "cumsum")
def _cumsum(m: Maker) -> Any:
    row = m.any(lambda x: x.ndim >= 1)
    if row is None:
        return None
    axis = m.integer(0, row[0].ndim - 1)
    x = bind(get("cumsum"), row[0], axis=axis, reverse=m.flip())
    return x, row[1] * row[0].shape[axis]


@step(SMOOTH, "gather")
def _gather(m: Maker) -> Any:
    row = m.any(lambda x: any(n >= 2 for n in x.shape))
    if row is None:
        return None
    axis = m.draw(st.sampled_from([i for i, n in enumerate(row[0].shape) if n >= 2]))
    return ops.gather(row[0], m.indices(), axis), row[1]


@step(SMOOTH, "scatter_add")
def _scatter_add(m: Maker) -> Any:
    indices = m.indices()
    x, b = m.array((*indices.shape, 2))
    return ops.scatter_add(x, indices, 0, m.integer(2, 3)), b * max(indices.size, 1)


# -- loops ---------------------------------------------------------------------------------
@step(SMOOTH, "scan")
def _scan(m: Maker) -> Any:
    sliced, bound = m.pick()
    if sliced.ndim == 0:
        sliced = ops.broadcast(sliced, (m.integer(1, 3),), (0,)[:0])
    start, start_bound = m.pick()
    fixed, fixed_bound = m.pick()
    loop = Loop(m.builder, "body", sliced.shape[0], m.flip())
    inner = Maker(m.draw, loop.builder, m.dtype, smooth=m.smooth)
    h = loop.add("carry", start, start.type, "h")
    inner.keep(loop.add("const", fixed, fixed.type, "a"), fixed_bound)
    inner.keep(h, max(start_bound, 1.0))
    row = TensorType(m.dtype, sliced.shape[1:])
    inner.keep(loop.add("slot", sliced, row, "x"), bound)
    count = None
    if m.flip():
        count = loop.add("carry", 0, TensorType(I32), "n")
        inner.pool.append((ops.cast(count, m.dtype), 3.0))
    inner.grow(m.integer(1, 4))
    keys = [loop.hand(h, ops.tanh(inner.array(h.shape)[0]))]
    if count is not None:
        loop.hand(count, ops.add(count, 1))
    made, made_bound = inner.pool[-1]
    keys.append(loop.stack(made))
    done = loop.run()
    m.keep(done[keys[0]], max(start_bound, 1.0))
    return done[keys[1]], made_bound


@step(SMOOTH, "cond")
def _cond(m: Maker) -> Any:
    rows = [m.pick() for _ in range(m.integer(1, 3))]
    predicate = ops.reshape(ops.slice_(m.condition((1,)), (0,), (1,), (1,)), ())
    fork = Fork(m.builder, predicate, ("then", "otherwise"))
    makers = [Maker(m.draw, b, m.dtype, smooth=m.smooth) for b in fork.builders]
    for i, (x, bound) in enumerate(rows):
        for maker, port in zip(makers, fork.add(x, x.type, f"x{i}"), strict=True):
            maker.keep(port, bound)
    shape = rows[0][0].shape
    found = []
    for maker in makers:
        maker.grow(m.integer(0, 4))
        found.append(maker.array(shape))
    (result,) = fork.run([(found[0][0], found[1][0])])
    return result, max(bound for _, bound in found)


@step(SMOOTH, "while")
def _while(m: Maker) -> Any:
    """A loop whose number of rounds depends on a condition."""
    (start, bound), (fixed, fixed_bound) = m.pick(), m.pick()
    if start.size * fixed.size > 60:
        return None
    regions = []
    for name in ("test", "body"):
        b = Builder(name)
        a = Tracer(b, b.input("a", fixed.type, "const"))
        h = Tracer(b, b.input("h", start.type, "carry"))
        n = Tracer(b, b.input("n", TensorType(I32), "carry"))
        if name == "test":
            outs = [ops.lt(n, 3)]
        else:
            inner = Maker(m.draw, b, m.dtype, smooth=m.smooth)
            inner.keep(a, fixed_bound)
            inner.keep(h, max(bound, 1.0))
            inner.grow(m.integer(1, 3))
            outs = [ops.tanh(inner.array(h.shape)[0]), ops.add(n, 1)]
        regions.append(b.finish([(x.value, "output") for x in outs]))
    first = ops.cast(ops.reshape(m.condition((1,)), ()), I32)
    found = bind(get("while"), fixed, start, first, test=regions[0], body=regions[1], consts=1)
    return found[0], max(bound, 1.0)


# -- without a derivative of their own -----------------------------------------------------
@step(ROUGH, "spike")
def _spike(m: Maker) -> Any:
    x, _ = m.pick()
    surrogate = m.draw(st.sampled_from(["fast_sigmoid", "triangle", "sigmoid", "arctan"]))
    return bind(get("spike"), x, surrogate=surrogate), 1.0


@step(ROUGH, "argmax")
def _argmax(m: Maker) -> Any:
    row = m.any(lambda x: x.ndim >= 1)
    if row is None:
        return None
    axis = m.integer(0, row[0].ndim - 1)
    return ops.cast(bind(get("argmax"), row[0], axis=axis), m.dtype), float(row[0].shape[axis])


@step(ROUGH, "comparison")
def _comparison(m: Maker) -> Any:
    x, _ = m.pick()
    a, b = m.condition(x.shape), m.condition(x.shape)
    joined = m.draw(st.sampled_from([ops.and_, ops.or_, ops.xor]))(a, b)
    return ops.cast(joined, m.dtype), 1.0


@step(ROUGH, "random_bits")
def _random_bits(m: Maker) -> Any:
    key = ops.cast(ops.full(m.builder, (2,), m.integer(0, 1), BOOL), U32)
    shape = m.draw(st.sampled_from(SHAPES))
    bits = bind(get("random_bits"), key, shape=shape)
    return ops.mul(ops.cast(ops.shift_right(bits, 8), m.dtype), 2.0**-24), 1.0
