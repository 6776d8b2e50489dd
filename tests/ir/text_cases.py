"""Random well-typed programs that are hard to write down: odd names, numbers, roles, regions."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from etp_ir import Builder, Literal, Program, Role, TensorType, Value
from etp_ir.core import Operand
from etp_ir.primitive import get
from etp_ir.source import Source
from etp_ir.types import BOOL, F32, F64, I32, U32, DType

HINTS = ("", "", "h", "z", "z.1", "0", "17", "h_next", "loss", "g_h", "a b", "é", ".x", "%", "b\n")
INPUT_NAMES = ("x", "h", "z", "cell.w", "0", "3", "é", "h_next", "a b", 'q"', "program", "return")
FLOATS = st.one_of(
    st.floats(allow_nan=False), st.just(float("nan")),
    st.sampled_from([0.0, -0.0, 1.0, 0.1, 1e22, -1e-7, 5e-324, float("inf"), float("-inf")]),
)  # fmt: skip
SOURCES = st.sampled_from([
    None, Source("models/gru.py", 41, "GRU.step"), Source("C:\\a b\\ü.py", 3, ""),
    Source('odd "name".py', 7, "f.<locals>.<lambda>"),
])  # fmt: skip
SHAPES = ((), (3,), (2, 3))


def literals(dtype: DType) -> st.SearchStrategy[Literal]:
    """Return literals of an element type."""
    numbers: st.SearchStrategy[Any]
    if dtype.is_float:
        numbers = FLOATS
    elif dtype is BOOL:
        numbers = st.booleans()
    else:
        low = 0 if dtype.kind == "uint" else -(2 ** (dtype.bits - 1))
        numbers = st.integers(low, low + 2**dtype.bits - 1)
    return numbers.map(lambda number: Literal(number, dtype))


@st.composite
def programs(draw: st.DrawFn, *, depth: int = 1, nodes: int = 8) -> Program:
    """Draw a valid program."""
    builder = Builder(draw(st.sampled_from(["f", "gru.step", "two words", "é"])))
    names = draw(st.lists(st.sampled_from(INPUT_NAMES), min_size=1, max_size=4, unique=True))
    pool: list[Value] = []
    for name in names:
        dtype = draw(st.sampled_from((F32, F32, F64, I32, U32, BOOL)))
        role = draw(st.sampled_from(("input", "state", "param", "noise", "const")))
        pool.append(builder.input(name, TensorType(dtype, draw(st.sampled_from(SHAPES))), role))
    grow(draw, builder, pool, draw(st.integers(0, nodes)), depth)
    outputs: list[tuple[Operand, Role]] = []
    for i in range(draw(st.integers(0, 4))):
        literal = st.sampled_from((F32, BOOL, U32)).flatmap(literals)
        value = draw(st.one_of(st.sampled_from(pool), st.sampled_from(pool), literal))
        outputs.append((value, Role("output", (str(i),))))
    for name in names:
        kind = builder.inputs[names.index(name)].role.kind
        if kind in ("state", "param") and draw(st.booleans()):
            outputs.append((draw(st.sampled_from(pool)), Role(kind, (name,))))
        elif draw(st.booleans()):
            outputs.append((draw(st.sampled_from(pool)), Role("grad", (name,))))
    return builder.finish(draw(st.permutations(outputs)))


def grow(draw: st.DrawFn, builder: Builder, pool: list[Value], count: int, depth: int) -> None:
    """Append random nodes whose operands come from the pool."""
    for _ in range(count):
        x = draw(st.sampled_from(pool))
        name = draw(st.sampled_from(applicable(x, depth)))
        inputs, attrs = applied(draw, name, x, pool, depth)
        with builder.at(draw(SOURCES)):
            pool.extend(builder.emit(get(name), inputs, attrs, draw(st.sampled_from(HINTS))))


def applicable(x: Value, depth: int) -> tuple[str, ...]:
    """Return the primitives that may be applied to ``x``."""
    names = ("eq", "ne", "cast", "permute", "reshape", "broadcast", "iota", "select")
    names += ("scan",) if depth else ()
    names += () if x.type.dtype is BOOL else ("sub", "mul")
    return names + (("tanh", "contract", "spike") if x.type.dtype.is_float else ())


def applied(
    draw: st.DrawFn, name: str, x: Value, pool: list[Value], depth: int
) -> tuple[list[Any], dict[str, Any]]:
    """Return operands, among them mostly ``x``, and attributes of a node."""
    rank, shape = x.type.rank, x.type.shape

    def alike() -> Operand:
        same = [v for v in pool if v.type == x.type]
        return draw(st.sampled_from(same) if draw(st.booleans()) else literals(x.type.dtype))

    if name in ("eq", "sub"):
        return [x, alike()], {}
    if name in ("ne", "mul"):
        return [alike(), x], {}
    if name == "select":
        masks = [v for v in pool if v.type == TensorType(BOOL, shape)]
        if not masks:
            mask = Literal(draw(st.booleans()), BOOL)
            return [mask, x, alike()], {}
        if draw(st.booleans()):
            return [draw(st.sampled_from(masks)), x, alike()], {}
        return [draw(st.sampled_from(masks)), draw(literals(F32)), draw(literals(F32))], {}
    if name == "cast":
        return [x], {"dtype": draw(st.sampled_from((F32, I32, BOOL)))}
    if name == "permute":
        return [x], {"order": tuple(draw(st.permutations(range(rank))))}
    if name == "reshape":
        return [x], {"shape": (x.type.size, 1)}
    if name == "broadcast":
        if draw(st.booleans()):
            return [draw(literals(F64))], {"shape": (3,), "axes": ()}
        return [x], {"shape": (2, *shape), "axes": tuple(range(1, rank + 1))}
    if name == "iota":
        return [], {"shape": (2, 3), "axis": 1, "dtype": draw(st.sampled_from((F32, U32)))}
    if name == "contract":
        letters = "ijk"[:rank]
        return [x, x], {"spec": f"{letters},{letters}->{letters[:1]}"}
    if name == "spike":
        return [x], {"surrogate": "arctan"}
    return looped(draw, x, pool, depth) if name == "scan" else ([x], {})


def looped(
    draw: st.DrawFn, x: Value, pool: list[Value], depth: int
) -> tuple[list[Value], dict[str, Any]]:
    """Return the operands and attributes of a scan that carries ``x``."""
    sliced = [v for v in pool if v.type.rank and v.type.shape[0] == 2]
    body = Builder(draw(st.sampled_from(["body", "step"])))
    inside = [body.input("h", x.type, "carry")]
    given = [x]
    if sliced:
        given.append(draw(st.sampled_from(sliced)))
        inside.append(body.input("x", given[1].type.with_shape(given[1].type.shape[1:]), "input"))
    grow(draw, body, inside, draw(st.integers(0, 3)), depth - 1)
    carry = draw(st.sampled_from([v for v in inside if v.type == x.type]))
    stack = draw(st.sampled_from(inside))
    region = body.finish([(carry, Role("carry", ("h",))), (stack, Role("stack", ("y",)))])
    reverse = draw(st.booleans())
    return given, {"length": 2, "consts": 0, "carries": 1, "reverse": reverse, "body": region}
