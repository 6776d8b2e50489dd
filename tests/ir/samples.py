"""For every primitive, operands and attributes on which its rules are tried."""

from collections.abc import Callable
from typing import Any

import numpy as np
from attrs import Factory, frozen

from etp_ir import Builder, Tracer, ops, trace
from etp_ir.primitive import REGISTRY, get
from etp_ir.primitives import foreign
from etp_ir.tracer import bind
from etp_ir.types import F32, F64, I32, TensorType


@frozen
class Sample:
    """One application of a primitive.

    ``smooth`` says that finite differences agree with the derivative at these operands.
    """

    operands: tuple[Any, ...]
    attrs: dict[str, Any] = Factory(dict)
    smooth: bool = True


SAMPLES: dict[str, list[Sample]] = {}


def sample(name: str, *operands: Any, smooth: bool = True, **attrs: Any) -> None:
    """Register a sample of a primitive; operands are arrays, or numbers for literals."""
    SAMPLES.setdefault(name, []).append(Sample(operands, attrs, smooth))


rng = np.random.default_rng(20)


def normal(*shape: int) -> Any:
    return rng.standard_normal(shape)


def positive(*shape: int) -> Any:
    return rng.uniform(0.3, 2.0, shape)


def away(*shape: int) -> Any:
    """Numbers at least 0.2 away from every integer."""
    return np.asarray(rng.integers(-3, 3, shape) + rng.uniform(0.2, 0.8, shape))


def words(*shape: int) -> Any:
    return rng.integers(0, 2**32, shape, dtype=np.uint32)


def bools(*shape: int) -> Any:
    return rng.random(shape) < 0.5


UNARY: dict[str, Callable[..., Any]] = {
    "neg": normal, "abs": away, "exp": normal, "expm1": normal, "log": positive,
    "log1p": positive, "sqrt": positive, "sin": normal, "cos": normal, "tanh": normal,
    "logistic": normal, "erf": normal, "sign": away, "floor": away,
}  # fmt: skip
for _name, _draw in UNARY.items():
    sample(_name, _draw(3, 2))
    sample(_name, _draw())
for _name in ("add", "sub", "mul", "maximum", "minimum"):
    sample(_name, normal(2, 3), normal(2, 3))
    sample(_name, 0.4, normal(3))
    sample(_name, normal(3), -0.7)
    sample(_name, rng.integers(-5, 5, 4), rng.integers(-5, 5, 4))
for _name in ("div", "pow"):
    sample(_name, positive(2, 3), positive(2, 3))
    sample(_name, 1.3, positive(3))
    sample(_name, positive(3), 3.0)
sample("rem", away(6) * 3, positive(6))
sample("rem", away(6), 1.0)
sample("rem", rng.integers(-9, 9, 5), np.full(5, 4))
sample("neg", rng.integers(-5, 5, 4))
sample("abs", rng.integers(-5, 5, 4))
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    sample(_name, normal(2, 3), normal(2, 3))
    sample(_name, normal(3), 0.0)
    sample(_name, rng.integers(0, 3, 6), rng.integers(0, 3, 6))
for _name in ("and", "or", "xor"):
    sample(_name, bools(4), bools(4))
    sample(_name, words(2, 3), words(2, 3))
sample("not", bools(2, 2))
for _name in ("shift_left", "shift_right"):
    sample(_name, words(5), np.arange(5, dtype=np.uint32))
    sample(_name, words(5), 7)
sample("select", bools(2, 3), normal(2, 3), normal(2, 3))
sample("select", bools(3), normal(3), 0.5)
sample("select", bools(3), 0.0, normal(3))
sample("cast", normal(2, 3), dtype=F64)
sample("cast", away(3), dtype=I32)
sample("cast", rng.integers(0, 5, 3), dtype=F64)
sample("cast", bools(3), dtype=F32)
sample("stop_gradient", normal(2, 3), smooth=False)
sample("spike", normal(2, 3), surrogate="fast_sigmoid", smooth=False)
sample("spike", normal(3), smooth=False, surrogate=trace(
    lambda x: ops.exp(ops.neg(ops.mul(x, x))), {"x": TensorType(F64)}, name="bump")[0])  # fmt: skip

for _spec, _x, _y in [
    ("i,io->o", (3,), (3, 4)), ("bi,bo->io", (5, 3), (5, 4)), ("bi,io->bo", (2, 3), (3, 4)),
    ("i,o->io", (3,), (4,)), ("i,i->", (3,), (3,)), ("o,io->io", (4,), (3, 4)),
    ("ij,k->ik", (2, 3), (4,)), (",ij->ji", (), (2, 3)), ("abc,cb->a", (2, 3, 4), (4, 3)),
]:  # fmt: skip
    sample("contract", normal(*_x), normal(*_y), spec=_spec)

sample("broadcast", normal(2, 3), shape=(2, 4, 3), axes=(0, 2))
sample("broadcast", normal(), shape=(2, 2), axes=())
sample("reshape", normal(2, 6), shape=(3, 4))
sample("reshape", normal(1), shape=())
sample("permute", normal(2, 3, 4), order=(2, 0, 1))
sample("permute", normal(), order=())
sample("concat", normal(2, 3), normal(2, 1), axis=1)
sample("concat", normal(2), normal(3), normal(1), axis=0)
sample("slice", normal(5, 4), start=(1, 0), stop=(5, 3), step=(2, 1))
sample("slice", normal(5), start=(2,), stop=(2,), step=(1,))
sample("pad", normal(2, 3), low=(1, 0), high=(0, 2), interior=(1, 2))
sample("pad", normal(0, 2), low=(1, 0), high=(1, 0), interior=(2, 0))
sample("pad", normal(), low=(), high=(), interior=())
sample("slice", normal(), start=(), stop=(), step=())
sample("reverse", normal(2, 3, 2), axes=(0, 2))
sample("reduce_sum", normal(2, 3, 4), axes=(0, 2))
sample("reduce_sum", normal(3), axes=())
sample("reduce_max", normal(2, 3, 4), axes=(1,))
sample("reduce_max", normal(4), axes=(0,))
sample("argmax", normal(3, 4), axis=1)
sample("cumsum", normal(3, 4), axis=1, reverse=False)
sample("cumsum", normal(3, 4), axis=0, reverse=True)

for _x, _w, _attrs in [
    ((2, 5), (3, 2, 3), ((1,), ((1, 1),), (1,), (1,), 1)),
    ((3, 4, 6), (4, 2, 2), ((2,), ((0, 1),), (1,), (2,), 2)),
    ((2, 1, 4, 5), (6, 2, 3), ((3,), ((2, -1),), (2,), (1,), 2)),
    ((2, 4), (2, 2, 2), ((1,), ((-1, 3),), (3,), (2,), 1)),
    ((2, 3), (2, 2, 5), ((1,), ((0, 0),), (1,), (1,), 1)),
    ((2, 2, 4, 3), (2, 1, 3, 1), ((2, 1), ((1, 1), (0, 0)), (1, 1), (1, 1), 2)),
    ((1, 3, 4), (2, 1, 2, 2), ((1, 2), ((1, 0), (2, -2)), (2, 1), (1, 2), 1)),
    ((2, 2, 3, 2), (2, 2, 2, 2, 1), ((1, 2, 1), ((0, 1), (1, 1), (0, 0)), (1, 2, 1), (1, 1, 3), 1)),
]:  # fmt: skip
    _named = dict(zip(get("conv").attributes, _attrs, strict=True))
    sample("conv", normal(*_x), normal(*_w), **_named)

sample("gather", normal(5, 3), rng.integers(0, 5, (2, 2)), axis=0)
sample("gather", normal(2, 5, 3), rng.integers(0, 5, (4,)), axis=1)
sample("gather", normal(2, 5), np.asarray(3), axis=1)
sample("scatter_add", normal(4, 3), rng.integers(0, 5, (4,)), axis=0, extent=5)
sample("scatter_add", normal(2, 2, 3, 4), rng.integers(0, 5, (2, 3)), axis=1, extent=5)
sample("scatter_add", normal(2), np.asarray(3), axis=1, extent=5)


def places(count: int, rows: int, cols: int, order: str) -> tuple[Any, Any]:
    """Rows and columns of distinct nonzeros, sorted by one of them."""
    flat = rng.choice(rows * cols, count, replace=False)
    flat = flat if order == "none" else np.sort(flat)
    major, minor = np.divmod(flat, rows if order == "cols" else cols)
    pair = (minor, major) if order == "cols" else (major, minor)
    return pair[0].astype(np.int32), pair[1].astype(np.int32)


for _order in ("rows", "cols", "none"):
    for _lead, _kept, _count in [((), 0, 5), ((2,), 1, 7), ((2, 3), 1, 12), ((3,), 0, 0)]:
        _at = places(_count, 3, 4, _order)
        sample("sparse_contract", normal(*_lead, 3), normal(_count), *_at,
               extent=4, order=_order, smooth=_count > 0)  # fmt: skip
        sample("sparse_sample", normal(*_lead, 3), normal(*_lead, 4), *_at,
               kept=_kept, order=_order, smooth=_count > 0)  # fmt: skip
sample("iota", shape=(3, 4), axis=1, dtype=I32)
sample("table", values=(3, 1, 4, 1), shape=(2, 2))
sample("batch_mean", normal(2, 3))
sample("batch_mean", normal())
sample("random_bits", words(2), shape=(3, 3))
sample("random_bits", words(4, 2), shape=(5,))
sample("random_bits", words(2), shape=())

sample("etp.matmul", normal(3), normal(3, 4))
sample("etp.matmul", normal(2, 3), normal(3, 4))
sample("etp.matmul", normal(2, 1, 3), normal(3, 2))
for _layout, _x, _w, _groups in [
    (("WC", "WIO", "WC"), (5, 2), (3, 2, 3), 1),
    (("CHW", "OIHW", "HWC"), (4, 3, 4), (2, 2, 2, 1), 2),
    (("WC", "OWI", "CW"), (2, 3, 2), (4, 2, 1), 2),
]:  # fmt: skip
    _axes = len(_layout[0]) - 1
    sample("etp.conv", normal(*_x), normal(*_w), layout=_layout, strides=(2,) * _axes,
           padding=((1, 0),) * _axes, lhs_dilation=(1,) * _axes, rhs_dilation=(1,) * _axes,
           groups=_groups)  # fmt: skip
sample("etp.element_wise", normal(2, 3))
for _lead in [(), (2,)]:
    sample("etp.sparse_matmul", normal(*_lead, 3), normal(7), *places(7, 3, 4, "cols"), extent=4)
    sample("etp.embedding", rng.integers(0, 5, _lead, dtype=np.int32), normal(5, 3))
sample("etp.einsum", normal(2, 3), normal(2, 3, 4), spec="gi,gio->go")
sample("etp.einsum", normal(4), normal(3, 4, 2), spec="j,ijk->ki")


def shipped() -> list[str]:
    """Return the primitives of the package; what tests and pages declare has a name like lab.x."""
    return [name for name in REGISTRY if "." not in name or name.startswith("etp.")]


def t(*shape: int, dtype: Any = F64) -> TensorType:
    return TensorType(dtype, shape)


def rnn_body() -> Any:
    """A recurrent cell with a step counter, an integer carry, and a carry that stays constant."""
    b = Builder("rnn", float_dtype=F64)
    w, bias = (Tracer(b, b.input(k, s, "const")) for k, s in (("w", t(3, 3)), ("bias", t(3))))
    h = Tracer(b, b.input("h", t(3), "carry"))
    n = Tracer(b, b.input("n", t(dtype=I32), "carry"))
    e = Tracer(b, b.input("e", t(2, 3), "carry"))
    x, k = Tracer(b, b.input("x", t(2), "slot")), Tracer(b, b.input("k", t(dtype=I32), "slot"))
    z = ops.add(ops.contract(h, w, "i,io->o"), bias)
    scale = ops.broadcast(ops.cast(ops.add(n, k), F64), (3,), ())
    new = ops.tanh(ops.add(z, ops.mul(0.1, scale)))
    decayed = ops.contract(new, e, "o,io->io")
    advanced = ops.add(decayed, ops.contract(x, ops.sub(1.0, new), "i,o->io"))
    return b.finish([
        (new.value, "carry"), (ops.add(n, 1).value, "carry"), (advanced.value, "carry"),
        (ops.reduce_sum(ops.mul(new, new), (0,)).value, "stack"), (ops.sin(x).value, "stack"),
    ])  # fmt: skip


def linear_body() -> Any:
    """A body linear in the carry and the slices together."""
    b = Builder("linear", float_dtype=F64)
    a = Tracer(b, b.input("a", t(3), "const"))
    s = Tracer(b, b.input("s", t(3), "carry"))
    x = Tracer(b, b.input("x", t(3), "slot"))
    new = ops.add(ops.mul(a, s), x)
    return b.finish([(new.value, "carry"), (ops.reduce_sum(new, (0,)).value, "stack")])


def nested_body() -> Any:
    """A body that holds a loop itself."""
    b = Builder("outer", float_dtype=F64)
    a = Tracer(b, b.input("a", t(3), "const"))
    s = Tracer(b, b.input("s", t(3), "carry"))
    x = Tracer(b, b.input("x", t(2, 3), "slot"))
    inner = bind(
        get("scan"), a, ops.tanh(s), x,
        body=linear_body(), length=2, consts=1, carries=1, reverse=True,
    )  # fmt: skip
    return b.finish([(inner[0].value, "carry"), (inner[1].value, "stack")])


foreign.define("divmod", lambda n, m: (n // m, n % m))
foreign.define("count", lambda n: (n + 1,))
sample("foreign", rng.integers(-9, 9, (2, 3), dtype=np.int32), np.full((2, 3), 4, np.int32),
       function="divmod", types=("i32[2,3]", "i32[2,3]"))  # fmt: skip
sample("foreign", np.int32(3), function="count", types=("i32[]",))

for _reverse in (False, True):
    sample(
        "scan", 0.5 * normal(3, 3), normal(3), normal(3), np.int32(2), normal(2, 3), normal(4, 2),
        rng.integers(0, 3, 4, dtype=np.int32),
        body=rnn_body(), length=4, consts=2, carries=3, reverse=_reverse,
    )  # fmt: skip
sample("scan", normal(3), normal(3), normal(5, 3),
       body=linear_body(), length=5, consts=1, carries=1, reverse=True)  # fmt: skip
sample("scan", normal(3), normal(3), normal(4, 2, 3),
       body=nested_body(), length=4, consts=1, carries=1, reverse=False)  # fmt: skip
# A loop of no steps is linear in everything, whatever its body.
sample("scan", normal(3), normal(3), normal(0, 3), smooth=False,
       body=linear_body(), length=0, consts=1, carries=1, reverse=False)  # fmt: skip


def choice_bodies() -> Any:
    """Two regions of equal types; the first has a logarithm, the second does without operands."""
    regions = []
    for name in ("then", "otherwise"):
        b = Builder(name, float_dtype=F64)
        x, w = Tracer(b, b.input("x", t(3), "value")), Tracer(b, b.input("w", t(3, 2), "value"))
        n = Tracer(b, b.input("n", t(dtype=I32), "value"))
        if name == "then":
            y = ops.contract(ops.log(ops.abs_(x)), w, "i,io->o")
            outs = [y, ops.add(n, 1), ops.mul(x, ops.tanh(x))]
        else:
            outs = [ops.full(b, (2,), 1.5, F64), n, ops.sin(x)]
        regions.append(b.finish([(v.value, "output") for v in outs]))
    return dict(zip(("then", "otherwise"), regions, strict=True))


def linear_choice() -> Any:
    """Regions linear in the first operand."""
    regions = []
    for name in ("then", "otherwise"):
        b = Builder(name, float_dtype=F64)
        x, a = Tracer(b, b.input("x", t(3), "value")), Tracer(b, b.input("a", t(3), "value"))
        y = ops.mul(x, ops.exp(a)) if name == "then" else ops.mul(ops.sin(a), ops.reverse(x, (0,)))
        regions.append(b.finish([(y.value, "output")]))
    return dict(zip(("then", "otherwise"), regions, strict=True))


for _truth in (True, False):
    sample("cond", np.asarray(_truth), positive(3), normal(3, 2), np.int32(2), **choice_bodies())
    sample("cond", np.asarray(_truth), normal(3), normal(3), **linear_choice())


def settling_regions() -> Any:
    """A recurrent network that settles until it hardly moves, and a count of rounds."""
    regions = []
    for name in ("test", "body"):
        b = Builder(name, float_dtype=F64)
        w, x = Tracer(b, b.input("w", t(3, 3), "const")), Tracer(b, b.input("x", t(3), "const"))
        h = Tracer(b, b.input("h", t(3), "carry"))
        n = Tracer(b, b.input("n", t(dtype=I32), "carry"))
        new = ops.tanh(ops.add(ops.contract(h, w, "i,io->o"), x))
        if name == "test":
            moved = ops.reduce_sum(ops.abs_(ops.sub(new, h)), (0,))
            outs = [ops.and_(ops.gt(moved, 0.3), ops.lt(n, 9))]
        else:
            outs = [new, ops.add(n, 1)]
        regions.append(b.finish([(v.value, "output") for v in outs]))
    return dict(zip(("test", "body"), regions, strict=True))


sample("while", 0.5 * normal(3, 3), normal(3), 2 + normal(3), np.int32(2),
       consts=2, **settling_regions())  # fmt: skip
# The test fails at once.
sample("while", 0.5 * normal(3, 3), normal(3), normal(3), np.int32(9),
       consts=2, smooth=False, **settling_regions())  # fmt: skip

for _shape in [(4, 3), (3, 4), (2, 3, 2), (1, 1)]:
    sample("qr", normal(*_shape))
    sample("svd", normal(*_shape))
for _shape in [(3, 3), (2, 4, 4), (1, 1)]:
    sample("eigh", normal(*_shape))
