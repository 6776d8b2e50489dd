"""Random programs made to be hard on buffer plans: views, loops, values used again late."""

from typing import Any

from hypothesis import strategies as st

from etp_ir import Builder, Program, Role, Tracer, ops
from etp_ir.primitive import get
from etp_ir.tracer import bind
from etp_ir.types import F32, I32, TensorType

EXTENTS = {"a": 2, "b": 3, "c": 3, "d": 1}
UNARY = (ops.neg, ops.tanh, ops.logistic, ops.sin, ops.abs_)
BINARY = (ops.add, ops.sub, ops.mul, ops.maximum)


class Grower:
    """Appends random nodes whose operands are drawn from all values so far."""

    def __init__(self, draw: Any, builder: Builder, depth: int) -> None:
        self.draw = draw
        self.builder = builder
        self.depth = depth
        self.pool: list[tuple[Tracer, str]] = []

    def input(self, name: str, letters: str, role: str, lead: tuple[int, ...] = ()) -> None:
        shape = (*lead, *(EXTENTS[c] for c in letters))
        value = self.builder.input(name, TensorType(F32, shape), role)
        self.pool.append((Tracer(self.builder, value), letters))

    def pick(self) -> tuple[Tracer, str]:
        return self.draw(st.sampled_from(self.pool))

    def like(self, letters: str) -> Tracer:
        """Return a value with exactly these letters, broadcasting or permuting one if needed."""
        same = [x for x in self.pool if x[1] == letters]
        if same and self.draw(st.booleans()):
            return self.draw(st.sampled_from(same))[0]
        x, have = self.pick()
        kept = [c for c in have if c in letters]
        gone = [i for i, c in enumerate(have) if c not in letters]
        if gone:
            x = ops.reduce_sum(x, gone)
        wanted = [c for c in letters if c in kept]
        if wanted != kept:
            x = ops.permute(x, [kept.index(c) for c in wanted])
        if len(wanted) < len(letters):
            shape = [EXTENTS[c] for c in letters]
            x = ops.broadcast(x, shape, [i for i, c in enumerate(letters) if c in wanted])
        return x

    def add(self, x: Any, letters: str) -> None:
        self.pool.append((x, letters))

    def step(self) -> None:
        kinds = ["unary", "binary", "scalar", "contract", "permute", "reverse", "select", "fill"]
        kinds += ["split", "ravel"] + (["scan"] * 2 + ["cond", "turn"] if self.depth else [])
        getattr(self, self.draw(st.sampled_from(kinds)))()

    def unary(self) -> None:
        x, letters = self.pick()
        self.add(self.draw(st.sampled_from(UNARY))(x), letters)

    def binary(self) -> None:
        x, letters = self.pick()
        operands = [x, self.like(letters)]
        if self.draw(st.booleans()):
            operands.reverse()
        self.add(self.draw(st.sampled_from(BINARY))(*operands), letters)

    def scalar(self) -> None:
        x, letters = self.pick()
        self.add(ops.sub(0.5, x) if self.draw(st.booleans()) else ops.mul(x, 0.5), letters)

    def contract(self) -> None:
        (x, lx), (y, ly) = self.pick(), self.pick()
        letters = self.draw(st.permutations(sorted(set(lx + ly))))
        out = "".join(letters[: self.draw(st.integers(0, min(3, len(letters))))])
        self.add(ops.tanh(ops.contract(x, y, f"{lx},{ly}->{out}")), out)

    def permute(self) -> None:
        x, letters = self.pick()
        order = self.draw(st.permutations(range(len(letters))))
        self.add(ops.permute(x, order), "".join(letters[i] for i in order))

    def reverse(self) -> None:
        x, letters = self.pick()
        axes = [i for i in range(len(letters)) if self.draw(st.booleans())]
        self.add(ops.reverse(x, axes), letters)

    def select(self) -> None:
        x, letters = self.pick()
        y = self.draw(st.sampled_from([0.0, 0.25, None]))
        condition = ops.gt(self.like(letters), 0.0)
        self.add(ops.select(condition, x, self.like(letters) if y is None else y), letters)

    def fill(self) -> None:
        letters = self.draw(st.sampled_from(["a", "bc", "cb"]))
        shape = [EXTENTS[c] for c in letters]
        number = self.draw(st.sampled_from([0.0, 2.0]))
        self.add(ops.full(self.builder, shape, number, F32), letters)

    def split(self) -> None:
        """Cut an axis in two and join the halves the other way round."""
        x, letters = self.pick()
        if not letters:
            return
        axis = self.draw(st.integers(0, len(letters) - 1))
        at = self.draw(st.integers(0, x.shape[axis]))
        cuts = []
        for a, b in ((at, x.shape[axis]), (0, at)):
            start, stop = [0] * x.ndim, list(x.shape)
            start[axis], stop[axis] = a, b
            cuts.append(ops.slice_(x, start, stop, [1] * x.ndim))
        self.add(ops.concat(cuts, axis), letters)

    def ravel(self) -> None:
        """Flatten and unflatten, which copies when the layout is not row-major."""
        x, letters = self.pick()
        flat = ops.reshape(ops.mul(ops.reshape(x, (x.size,)), 0.5), x.shape)
        self.add(flat, letters)

    def scan(self) -> None:
        consts = [self.pick() for _ in range(self.draw(st.integers(0, 2)))]
        carries = [self.pick() for _ in range(self.draw(st.integers(1, 3)))]
        length = self.draw(st.integers(0, 4))
        stacks = [self.pick() for _ in range(self.draw(st.integers(0, 2)))]
        inner = Grower(self.draw, Builder("body"), self.depth - 1)
        operands = [x for x, _ in (*consts, *carries)]
        for i, (_, letters) in enumerate(consts):
            inner.input(f"k{i}", letters, "const")
        for i, (_, letters) in enumerate(carries):
            inner.input(f"c{i}", letters, "carry")
        count = Tracer(inner.builder, inner.builder.input("n", TensorType(I32), "carry"))
        for i, (x, letters) in enumerate(stacks):
            inner.input(f"x{i}", letters, "slot")
            rows = (length, *x.shape)
            operands.append(ops.broadcast(x, rows, range(1, x.ndim + 1)))
        inner.grow(self.draw(st.integers(1, 8)))
        outs = [inner.result(letters) for _, letters in carries]
        made = [inner.pick() for _ in range(self.draw(st.integers(0, 2)))]
        body = inner.builder.finish([
            *((x.value, "carry") for x in outs), (ops.add(count, 1).value, "carry"),
            *((x.value, "stack") for x, _ in made),
        ])  # fmt: skip
        start = ops.full(self.builder, (), 3, I32)
        operands.insert(len(consts) + len(carries), start)
        results = bind(
            get("scan"), *operands, body=body, length=length, consts=len(consts),
            carries=len(carries) + 1, reverse=self.draw(st.booleans()),
        )  # fmt: skip
        for x, (_, letters) in zip(results, carries, strict=False):
            self.add(x, letters)
        self.add(ops.cast(results[len(carries)], F32), "")
        for x, (_, letters) in zip(results[len(carries) + 1 :], made, strict=True):
            self.add(ops.reduce_sum(x, (0,)), letters)

    def cond(self) -> None:
        given = [self.pick() for _ in range(self.draw(st.integers(0, 3)))]
        outs = [self.pick()[1] for _ in range(self.draw(st.integers(1, 3)))]
        regions = []
        for name in ("then", "otherwise"):
            inner = Grower(self.draw, Builder(name), self.depth - 1)
            inner.input("s", "", "value")
            for i, (_, letters) in enumerate(given):
                inner.input(f"x{i}", letters, "value")
            inner.grow(self.draw(st.integers(0, 5)))
            results = [(inner.result(letters).value, "output") for letters in outs]
            regions.append(inner.builder.finish(results))
        predicate = ops.gt(self.like(""), 0.0)
        results = bind(
            get("cond"), predicate, self.like(""), *(x for x, _ in given),
            then=regions[0], otherwise=regions[1],
        )  # fmt: skip
        for x, letters in zip(results if len(outs) > 1 else [results], outs, strict=True):
            self.add(x, letters)

    def turn(self) -> None:
        """A loop of as many rounds as a count that depends on a value."""
        consts = [self.pick() for _ in range(self.draw(st.integers(0, 2)))]
        carries = [self.pick() for _ in range(self.draw(st.integers(1, 3)))]
        builders = [Builder("test"), Builder("body")]
        counts = []
        inner = Grower(self.draw, builders[1], self.depth - 1)
        for b in builders:
            grower = inner if b is builders[1] else Grower(self.draw, b, 0)
            for i, (_, letters) in enumerate(consts):
                grower.input(f"k{i}", letters, "const")
            counts.append(Tracer(b, b.input("n", TensorType(I32), "carry")))
            for i, (_, letters) in enumerate(carries):
                grower.input(f"c{i}", letters, "carry")
        inner.grow(self.draw(st.integers(0, 6)))
        outs = [inner.result(letters) for _, letters in carries]
        test = builders[0].finish([(ops.lt(counts[0], 3).value, "output")])
        body = builders[1].finish(
            [(ops.add(counts[1], 1).value, "carry"), *((x.value, "carry") for x in outs)]
        )
        start = ops.cast(ops.gt(self.like(""), 0.0), I32)
        results = bind(
            get("while"), *(x for x, _ in consts), start, *(x for x, _ in carries),
            test=test, body=body, consts=len(consts),
        )  # fmt: skip
        self.add(ops.cast(results[0], F32), "")
        for x, (_, letters) in zip(results[1:], carries, strict=True):
            self.add(x, letters)

    def result(self, letters: str) -> Tracer:
        """Return a value with these letters, often the newest."""
        same = [x for x, have in self.pool if have == letters]
        return same[-1] if same and self.draw(st.booleans()) else self.like(letters)

    def grow(self, count: int) -> None:
        for _ in range(count):
            self.step()


@st.composite
def programs(draw: Any, depth: int = 2) -> Program:
    """Draw a program with inputs of several ranks, views and nested loops."""
    builder = Builder("random")
    grower = Grower(draw, builder, depth)
    for name, letters in (("h", "ab"), ("e", "abc"), ("w", "bc"), ("s", "")):
        grower.input(name, letters, "input")
    grower.grow(draw(st.integers(1, 10)))
    chosen = [grower.pick() for _ in range(draw(st.integers(1, 4)))]
    outs = [(x.value, Role("output", (str(i),))) for i, (x, _) in enumerate(chosen)]
    outs.append((grower.result("ab").value, Role("state", ("h",))))
    outs.append((grower.result("abc").value, Role("trace", ("e",))))
    return builder.finish(outs)
