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
        name, inputs, attrs = draw(st.sampled_from(pool).flatmap(lambda x: applied(x, pool)))
        if name == "scan" and depth == 0:
            continue
        if name == "scan":
            inputs, attrs = looped(draw, inputs[0], pool, depth)
        with builder.at(draw(SOURCES)):
            pool.extend(builder.emit(get(name), inputs, attrs, draw(st.sampled_from(HINTS))))


def applied(
    x: Value, pool: list[Value]
) -> st.SearchStrategy[tuple[str, list[Any], dict[str, Any]]]:
    """Return nodes of which ``x`` is an operand: primitive, operands, attributes."""
    dtype, rank = x.type.dtype, x.type.rank
    alike = st.one_of(st.sampled_from([v for v in pool if v.type == x.type]), literals(dtype))
    options: list[st.SearchStrategy[Any]] = [
        alike.map(lambda y: ("eq", [x, y], {})),
        alike.map(lambda y: ("ne", [y, x], {})),
        st.sampled_from((F32, I32, BOOL)).map(lambda d: ("cast", [x], {"dtype": d})),
        st.permutations(range(rank)).map(lambda o: ("permute", [x], {"order": tuple(o)})),
        st.just(("reshape", [x], {"shape": (x.type.size, 1)})),
        st.just(
            ("broadcast", [x], {"shape": (2, *x.type.shape), "axes": tuple(range(1, rank + 1))})
        ),
        st.sampled_from((F32, U32)).map(
            lambda d: ("iota", [], {"shape": (2, 3), "axis": 1, "dtype": d})
        ),
        literals(F64).map(lambda y: ("broadcast", [y], {"shape": (3,), "axes": ()})),
        st.just(("scan", [x], {})),
    ]
    if dtype is BOOL:
        both = st.tuples(literals(F32), literals(F32))
        options.append(both.map(lambda ab: ("select", [x, *ab], {})))
    else:
        options.append(alike.map(lambda y: ("sub", [x, y], {})))
        options.append(alike.map(lambda y: ("mul", [y, x], {})))
        masks = [v for v in pool if v.type == TensorType(BOOL, x.type.shape)]
        if masks:
            options.append(
                st.tuples(st.sampled_from(masks), alike).map(
                    lambda my: ("select", [my[0], x, my[1]], {})
                )
            )
    if dtype.is_float:
        options.append(st.just(("tanh", [x], {})))
        letters = "ijk"[:rank]
        options.append(
            st.just(("contract", [x, x], {"spec": f"{letters},{letters}->{letters[:1]}"}))
        )
        options.append(st.just(("spike", [x], {"surrogate": "arctan"})))
    return st.one_of(options)


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
