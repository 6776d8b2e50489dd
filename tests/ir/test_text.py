"""The textual IR: print -> parse -> print is the identity, names are made once, errors point."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from etp_ir import Builder, Literal, Node, ParseError, Program, Role, TensorType, Value, ops, trace
from etp_ir.core import ROLE_KINDS
from etp_ir.interpreter import run
from etp_ir.parser import parse
from etp_ir.passes import lower
from etp_ir.primitive import get
from etp_ir.printer import to_text, to_window, value_names
from etp_ir.stages import STAGES
from etp_ir.tracer import bind
from etp_ir.transforms import batch_program, jvp, vjp
from etp_ir.types import BOOL, DTYPES, F32, F64, I32, type_of
from etp_ir.verify import verify
from tests.ir.samples import SAMPLES
from tests.ir.text_cases import programs

ROOT = Path(__file__).resolve().parents[2]

LEAKY = """\
program @leaky.step(
    %x: f32[2] input,
    %h: f32[3] state,
    %cell.w: f32[5,3] param,
    %e_w: f32[5,3] trace(cell.w, h),
    %dL_dh: f32[3] signal(h)
) -> (f32[3] state(h), f32[5,3] trace(cell.w, h), f32[5,3] grad(cell.w), f32[] loss) {
  %xh = concat %x, %h {axis = 0} : f32[5]
  %pre = etp.matmul %xh, %cell.w : f32[3]
  %0 = tanh %pre : f32[3]
  %1 = mul %h, 0.9 : f32[3]
  %h_next = add %1, %0 : f32[3]
  %2 = mul %0, %0 : f32[3]
  %3 = sub 1, %2 : f32[3]
  %4 = contract %xh, %3 {spec = "i,o->io"} : f32[5,3]
  %e_w_next = add %e_w, %4 : f32[5,3]
  %g_cell.w = contract %dL_dh, %e_w_next {spec = "o,io->io"} : f32[5,3]
  %5 = mul %h_next, %h_next : f32[3]
  %loss = reduce_sum %5 {axes = [0]} : f32[]
  return %h_next, %e_w_next, %g_cell.w, %loss
}"""


def leaky(named: bool) -> Program:
    """Return the program above, built by hand."""
    b = Builder("leaky.step")
    x = b.input("x", TensorType(F32, (2,)), "input")
    h = b.input("h", TensorType(F32, (3,)), "state")
    w = b.input("cell.w", TensorType(F32, (5, 3)), "param")
    e = b.input("e_w", TensorType(F32, (5, 3)), Role("trace", ("cell.w", "h")))
    s = b.input("dL_dh", TensorType(F32, (3,)), Role("signal", ("h",)))

    def do(name: str, *inputs: Any, hint: str = "", **attrs: Any) -> Value:
        (value,) = b.emit(get(name), inputs, attrs, hint if named else "")
        return value

    xh = do("concat", x, h, axis=0, hint="xh")
    y = do("tanh", do("etp.matmul", xh, w, hint="pre"))
    new = do("add", do("mul", h, Literal(0.9, F32)), y)
    du = do("sub", Literal(1.0, F32), do("mul", y, y))
    e_new = do("add", e, do("contract", xh, du, spec="i,o->io"))
    g = do("contract", s, e_new, spec="o,io->io")
    loss = do("reduce_sum", do("mul", new, new), axes=(0,))
    return b.finish([
        (new, Role("state", ("h",))), (e_new, Role("trace", ("cell.w", "h"))),
        (g, Role("grad", ("cell.w",))), (loss, "loss"),
    ])  # fmt: skip


SCAN = """\
program @seq(
    %xs: f32[4,2] input,
    %h: f32[3] state
) -> (f32[3] state(h), f32[4] output(0)) {
  %h_next, %output_0 = scan %h, %xs {
    length = 4, consts = 0, carries = 1, reverse = false,
    body = program @body(
        %h: f32[3] carry(h),
        %x: f32[2] input
    ) -> (f32[3] carry(h), f32[] stack(y)) {
      %stack_y = reduce_sum %x {axes = [0]} : f32[]
      %0 = broadcast %stack_y {shape = [3], axes = []} : f32[3]
      %h_next = add %h, %0 : f32[3]
      return %h_next, %stack_y
    }
  } : f32[3], f32[4]
  return %h_next, %output_0
}"""


# -- the look ------------------------------------------------------------------------------
def test_the_text_of_a_program_is_this() -> None:
    assert to_text(leaky(named=True)) == LEAKY
    assert str(leaky(named=True)) == LEAKY


def test_hints_of_intermediate_values_are_no_part_of_a_program() -> None:
    unnamed = leaky(named=False)
    assert unnamed == leaky(named=True)
    assert hash(unnamed) == hash(leaky(named=True))
    assert "%0 = concat" in to_text(unnamed)
    assert "%h_next = add" in to_text(unnamed)


def test_a_region_is_a_nested_block() -> None:
    program = verify(parse(SCAN))
    assert to_text(program) == SCAN
    (node,) = program.nodes
    assert [v.type.shape for v in node.outputs] == [(3,), (4,)]
    xs = np.arange(8, dtype=np.float32).reshape(4, 2)
    last, stack = run(program, [xs, np.zeros(3)])
    np.testing.assert_array_equal(stack, xs.sum(1))
    np.testing.assert_array_equal(last, np.full(3, xs.sum()))


def test_aligned_text_has_columns_and_parses() -> None:
    program = leaky(named=True)
    text = to_text(program, align=True)
    rows = [line for line in text.splitlines() if " = " in line]
    assert len({line.index(" = ") for line in rows}) == 1
    assert len({line.index(" : ") for line in rows}) == 1
    assert parse(text) == program


def test_many_outputs_are_listed_one_per_line() -> None:
    b = Builder("wide")
    x = b.input("x", TensorType(F32, (3,)), "input")
    names = [f"a_rather_long_name_{i}" for i in range(9)]
    values = [b.emit(get("tanh"), [x], {}, name)[0] for name in names]
    program = b.finish([(v, Role("output", (str(i),))) for i, v in enumerate(values)])
    text = to_text(program)
    assert ") -> (\n    f32[3] output(0),\n" in text
    assert max(map(len, text.splitlines())) <= 100
    assert parse(text) == program


# -- names ---------------------------------------------------------------------------------
def named(*hints: str, outputs: tuple[tuple[int, Role], ...] = ()) -> list[str]:
    """Return the printed names of a chain of nodes with these hints, after inputs h and 1."""
    b = Builder("names")
    values = [b.input("h", TensorType(F32, (3,)), "state"), b.input("1", TensorType(F32), "input")]
    for hint in hints:
        values.extend(b.emit(get("tanh"), [values[0]], {}, hint))
    program = b.finish([(values[i + 2], role) for i, role in outputs])
    names = value_names(program)
    assert to_text(parse(to_text(program))) == to_text(program)
    return [names[v] for v in values[2:]]


def test_names_that_clash_are_numbered() -> None:
    assert named("z", "z", "h", "z", "z.1") == ["z", "z.1", "h.1", "z.2", "z.1.1"]


def test_unnamed_values_count_and_step_over_taken_numbers() -> None:
    assert named("", "z", "", "12", "") == ["0", "z", "2", "3", "4"]


def test_hints_that_are_no_words_are_mended() -> None:
    assert named("a b", "x%y", ".w", "..", "π") == ["a_b", "x_y", "w", "0", "π"]


def test_unnamed_outputs_are_named_after_their_role() -> None:
    roles = (
        Role("state", ("h",)), Role("grad", ("cell.w",)), Role("trace", ("w", "h")), Role("loss"),
        Role("output", ("0",)), Role("loss"),
    )  # fmt: skip
    names = named("", "", "", "", "", "kept", outputs=tuple(enumerate(roles)))
    assert names == ["h_next", "g_cell.w", "e_w_h", "loss", "output_0", "kept"]


# -- numbers -------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("number", "dtype", "text"),
    [
        (1.0, F32, "1"), (-0.0, F32, "-0"), (0.1, F32, "0.1"), (1e22, F32, "1e+22"),
        (math.inf, F32, "inf"), (-math.inf, F32, "-inf"), (math.nan, F32, "nan"),
        (5e-324, F32, "5e-324"), (2.0, F64, "2:f64"), (3, I32, "3:i32"), (True, BOOL, "true:bool"),
    ],
)  # fmt: skip
def test_literals_are_exact_and_say_their_type_where_it_is_not_plain(
    number: Any, dtype: Any, text: str
) -> None:
    b = Builder("number")
    x = b.input("x", TensorType(F32, (3,)), "input")
    b.nodes.append(Node(get("add"), (x, Literal(number, dtype)), (Value(x.type),)))
    program = b.finish([])
    assert f"add %x, {text} : f32[3]" in to_text(program)
    again = parse(to_text(program))
    (_, literal) = again.nodes[0].inputs
    assert isinstance(literal, Literal)
    assert literal.dtype is dtype
    assert np.array(literal.value, np.float64).tobytes() == np.array(number, np.float64).tobytes()
    assert again == program


def test_a_condition_does_not_settle_the_type_of_a_literal() -> None:
    text = """program @f(%m: bool[3], %x: f64[3]) -> (f64[3], f32[3], bool[3], f32[]) {
      %a = select %m, %x, 0 : f64[3]
      %b = select %m, 1:f32, 0:f32 : f32[3]
      %c = eq %m, true : bool[3]
      return %a, %b, %c, 0.5
    }"""
    program = verify(parse(text))
    printed = to_text(program)
    assert "select %m, %x, 0 :" in printed
    assert "select %m, 1:f32, 0:f32 :" in printed
    assert "eq %m, true :" in printed
    assert "return %a, %b, %c, 0.5\n" in printed
    assert parse(printed) == program


# -- reading -------------------------------------------------------------------------------
def test_white_space_and_comments_mean_nothing() -> None:
    squeezed = "program @f(%x:f32[3])->(f32[ 3 ] output(0)){%y=add %x,1:f32[3] return %y}"
    spread = """
    // a comment, with "quotes" and %names
    program @f( // another
        %x : f32 [3] input
    ) -> ( f32[3] output(0) ) {
      %y = add %x ,
           1 : f32[3]
      return %y
    } // the end"""
    assert parse(squeezed) == parse(spread)
    assert len(parse(spread).nodes) == 1


def test_locations_are_read_back() -> None:
    def step(x: Any) -> Any:
        return ops.tanh(x)

    program, _ = trace(step, {"x": TensorType(F32, (3,))}, name="step")
    text = to_text(program, locations=True)
    line = step.__code__.co_firstlineno + 1
    assert f'test_text.py:{line} in test_locations_are_read_back.<locals>.step"' in text
    again = parse(text)
    assert again.nodes[0].source == program.nodes[0].source
    assert again == program == parse(to_text(program))


def test_attributes_of_every_kind_are_read_back() -> None:
    region = "program @r() -> () {\n return\n}"
    text = f"""program @f() -> () {{
      %y = iota {{a = -3, b = 1.0, c = [[1, 2], [], [true, nan]], d = "a\\"b\\n", e = bf16,
                 f = {region}, g = -inf}} : f32[2]
      return
    }}"""
    attrs = dict(parse(text).nodes[0].attrs)
    assert math.isnan(attrs["c"][2][1])
    attrs.pop("c")
    inner = attrs.pop("f")
    assert isinstance(inner, Program)
    assert inner.name == "r"
    assert {k: (type(v).__name__, str(v)) for k, v in attrs.items()} == {
        "a": ("int", "-3"), "b": ("float", "1.0"), "d": ("str", 'a"b\n'),
        "e": ("DType", "bf16"), "g": ("float", "-inf"),
    }  # fmt: skip
    assert parse(to_text(parse(text))) == parse(text)


@settings(max_examples=80, deadline=None)
@given(programs())
def test_print_parse_print_is_the_identity(program: Program) -> None:
    verify(program)
    for options in ({}, {"align": True}, {"locations": True}, {"align": True, "locations": True}):
        text = to_text(program, **options)
        again = parse(text)
        assert again == program
        assert to_text(again, **options) == text
    names = value_names(program)
    assert len(set(names.values())) == len(names)


@settings(max_examples=25, deadline=None)
@given(programs())
def test_what_is_read_back_computes_the_same_bits(program: Program) -> None:
    rng = np.random.default_rng(0)
    arrays = [
        np.asarray(rng.integers(0, 2, p.type.shape), p.type.dtype.numpy()) for p in program.inputs
    ]
    with np.errstate(all="ignore"):
        pairs = zip(run(program, arrays), run(parse(to_text(program)), arrays), strict=True)
    assert all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in pairs)


EVERY_SAMPLE = [
    pytest.param(name, sample, id=f"{name}-{i}")
    for name, samples in SAMPLES.items()
    for i, sample in enumerate(samples)
]


@pytest.mark.parametrize(("name", "sample"), EVERY_SAMPLE)
def test_every_primitive_and_what_is_derived_from_it_makes_the_trip(name: str, sample: Any) -> None:
    arrays = {
        f"x{i}": x for i, x in enumerate(sample.operands) if isinstance(x, (np.ndarray, np.generic))
    }

    def apply(**given: Any) -> Any:
        operands = [given.get(f"x{i}", x) for i, x in enumerate(sample.operands)]
        builder = next((x.builder for x in given.values()), None)
        if builder is not None:
            return bind(get(name), *operands, **sample.attrs)
        b = Builder(name)
        values = b.emit(get(name), [], sample.attrs)
        return b.finish([(v, "output") for v in values])

    if not arrays:
        program = apply()
    else:
        types = {key: type_of(x) for key, x in arrays.items()}
        roles = {key: Role("param") for key in types}
        program, _ = trace(apply, types, name=name, roles=roles)
    found = [program]
    floats = [p.name for p in program.inputs if p.type.dtype.is_float]
    known = get(name).differentiable
    if known and floats and any(o.type.dtype.is_float for o in program.outputs):
        found.append(jvp(program, floats))
        if name != "scan":
            found.append(vjp(program, floats))
    if arrays:
        found.append(batch_program(program, 2, dict.fromkeys(list(arrays)[:1], 0)))
    found.append(lower(program))
    for one in found:
        text = to_text(verify(one))
        assert parse(text) == one
        assert to_text(parse(text)) == text


def test_a_changed_program_is_a_different_one() -> None:
    program = parse(LEAKY)
    for old, new in [
        ("0.9", "0.90000001"), ("sub 1", "sub -1"), ("tanh", "sin"), ("%h, 0.9", "0.9, %h"),
        ("leaky", "leaky2"), ("%cell.w", "%cell.v"), ("grad(cell.w)", "grad(h)"),
        ("0.9", "0.9:f64"),
        ('"i,o->io"', '"j,o->jo"'), ("f32[] loss", "f32[] metric"),
    ]:  # fmt: skip
        assert old in LEAKY
        assert parse(LEAKY.replace(old, new)) != program, (old, new)


# -- mistakes ------------------------------------------------------------------------------
def wrong(old: str, new: str, text: str = LEAKY) -> str:
    assert text.count(old) >= 1
    with pytest.raises(ParseError) as caught:
        parse(text.replace(old, new, 1))
    return str(caught.value)


def test_an_error_points_at_its_place() -> None:
    assert wrong("mul %0, %0", "mul %0, %9") == (
        "%9 is not defined before this\n"
        "  at line 13, column 16\n"
        "  13 |   %2 = mul %0, %9 : f32[3]\n"
        "     |                ^\n"
        "define it above"
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("program", "programme", "expected `program` at the start, found `programme`"),
        ("concat", "conact", "no primitive 'conact'; did you mean"),
        ("%xh = concat", "%x = concat", r"%x is defined twice[\s\S]*another name"),
        ("%h: f32", "%x: f32", "%x is defined twice"),
        ("f32[2] input", "f33[2] input", r"no element type in `f33\[2\]`[\s\S]*one of f64"),
        ("f32[2] input", "f32 input", r"expected a type, found `f32`[\s\S]*like `f32\[2,3\]`"),
        ("%0 = tanh", "%0 tanh", "expected `=` after the results, found `tanh`"),
        ("tanh %pre : f32[3]", "tanh %pre", "expected `:` before the types of the results"),
        ("tanh %pre : f32[3]", "tanh %pre : f32[3], f32[3]", "1 results but 2 types"),
        ("0.9", "0.9:f9", "`f9` is no element type"),
        ("0.9", "true", "true is not a number of type f32"),
        ("0.9", "0.9:i32", "0.9 is not a number of type i32"),
        ("mul %h, 0.9", "mul 1, 0.9", "do not settle the element type of 1[\\s\\S]*as in `1:f32`"),
        ("{axis = 0}", "{axis = zero}", "expected the value of an attribute, found `zero`"),
        ("{axis = 0}", "{axis = 0, axis = 1}", "attribute axis is given twice"),
        ("{axis = 0}", "{axis 0}", "expected `=` before the value of an attribute, found `0`"),
        ('"i,o->io"}', '"i,o->io}', "this is no string: "),
        ("return", "retrun", "expected `return` or a node, found `retrun`"),
        ("%g_cell.w, %loss", "%g_cell.w", "expected `,` after output 2: 4 are declared"),
        ("f32[] loss", "f32[1] loss", r"output loss is declared f32\[1\] and returned as f32\[\]"),
        ("trace(cell.w, h)", "trace(cell.w h)", r"expected `,` or `\)` in a role, found `h`"),
        (": f32[3]\n", ': f32[3] loc "here"\n', '"here" is no location[\\s\\S]*model.py:12'),
    ],
)  # fmt: skip
def test_mistakes_in_a_text_say_what_and_how(old: str, new: str, message: str) -> None:
    with pytest.raises(ParseError, match=message):
        parse(LEAKY.replace(old, new, 1))


def test_text_after_or_missing_at_the_end() -> None:
    with pytest.raises(ParseError, match="expected the end of the text after the program"):
        parse(LEAKY + "\nprogram")
    with pytest.raises(
        ParseError, match="expected `}` after the outputs, found the end of the text"
    ):
        parse(LEAKY.removesuffix("}"))
    with pytest.raises(ParseError, match="line 1, column 1"):
        parse("")


# -- windows -------------------------------------------------------------------------------
def test_a_window_shows_the_neighbours_and_an_arrow() -> None:
    program = parse(LEAKY)
    assert to_window(program, program.nodes[8], radius=1) == (
        "in program @leaky.step\n"
        '   8 |   %4 = contract %xh, %3 {spec = "i,o->io"} : f32[5,3]\n'
        ">  9 |   %e_w_next = add %e_w, %4 : f32[5,3]\n"
        '  10 |   %g_cell.w = contract %dL_dh, %e_w_next {spec = "o,io->io"} : f32[5,3]'
    )


def test_a_window_names_regions_without_printing_them() -> None:
    program = parse(SCAN)
    assert to_window(program, program.nodes[0]) == (
        "in program @seq\n"
        "> 1 |   %h_next, %output_0 = scan %h, %xs {length = 4, consts = 0, carries = 1, "
        "reverse = false, body = program @body} : f32[3], f32[4]"
    )


# -- the same everywhere -------------------------------------------------------------------
DUMP = """
from etp_ir import ops, trace, Role, TensorType
from etp_ir.passes import dce, lower
from etp_ir.primitive import get
from etp_ir.tracer import bind
from etp_ir.transforms import batch_program, vjp
from etp_ir.types import F32
import numpy as np

bias = np.arange(3.0)

def step(x, h, w):
    z = ops.logistic(ops.add(bind(get("etp.matmul"), ops.concat([x, h], 0), w), bias))
    new = ops.add(ops.mul(z, h), ops.sub(1.0, z))
    return new, ops.reduce_sum(ops.mul(new, new), (0,))

types = {"x": TensorType(F32, (2,)), "h": TensorType(F32, (3,)), "w": TensorType(F32, (5, 3))}
program, _ = trace(step, types, name="step", roles={"h": Role("state"), "w": Role("param")},
                   outputs=[Role("state", ("h",)), Role("loss")])
back = vjp(program, ["w", "h"])
both = batch_program(back, 4, {"x": 0, "h": 0, "ct_0": 0, "ct_1": 0}, total=("grad",))
for p in (program, back, dce(lower(back)), both):
    print(p)
"""


def test_a_dump_is_the_same_in_processes_with_different_hash_seeds() -> None:
    dumps = []
    for seed in ("0", "1", "4242"):
        paths = os.pathsep.join([str(ROOT), str(ROOT / "backends")])
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": paths}
        child = subprocess.run(
            [sys.executable, "-c", DUMP], env=environment, capture_output=True, text=True
        )
        assert child.returncode == 0, child.stderr
        dumps.append(child.stdout)
    assert "%w: f32[5,3] param" in dumps[0]
    assert dumps[0].count("program @") == 4
    assert dumps[0] == dumps[1] == dumps[2]


def test_transformed_programs_survive_the_trip_too() -> None:
    space: dict[str, Any] = {}
    exec(compile(DUMP.replace("print(p)", "pass"), "dump", "exec"), space)
    for program in (space["program"], space["back"], space["both"]):
        text = to_text(program)
        assert parse(text) == program
        assert to_text(parse(text)) == text
        verify(program)
    assert any(node.primitive.is_etp for node in space["program"].nodes)


def test_a_program_may_be_a_surrogate() -> None:
    slope, _ = trace(lambda v: ops.mul(v, 0.5), {"v": TensorType(F32)}, name="slope")
    program, _ = trace(
        lambda x: bind(get("spike"), x, surrogate=slope), {"x": TensorType(F32, (3,))}, name="s"
    )
    text = to_text(program)
    assert "spike %x {\n    surrogate = program @slope(" in text
    assert parse(text) == program


# -- the page ------------------------------------------------------------------------------
PAGE = ROOT / "docs" / "ir.md"


def reference(*arguments: str) -> subprocess.CompletedProcess[str]:
    # A process of its own, whose registry holds nothing that tests have added.
    paths = os.pathsep.join([str(ROOT), str(ROOT / "backends")])
    return subprocess.run(
        [sys.executable, "-m", "etp_ir.reference", *arguments], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip


def test_the_tables_of_the_page_are_those_of_the_registry(tmp_path: Path) -> None:
    child = reference("--check", str(PAGE))
    assert child.returncode == 0, child.stderr
    copy = tmp_path / "ir.md"
    copy.write_text(PAGE.read_text().replace("| `tanh x`", "| `tan x`"))
    child = reference("--check", str(copy))
    assert child.returncode == 1
    assert "is stale; run `python -m etp_ir.reference" in child.stderr
    assert reference(str(copy)).returncode == 0
    assert copy.read_text() == PAGE.read_text()


def test_the_page_knows_every_role_stage_and_type() -> None:
    page = PAGE.read_text()
    for word in (*ROLE_KINDS, *STAGES, *DTYPES):
        assert re.search(rf"`{word}[`(]", page), word
    notes = page.split("What a formula does not say")[1].split("<!--")[0]
    for form in re.findall(r"^\| `(\S+)[^|]*` \| see above", page, flags=re.MULTILINE):
        assert f"`{form}`" in notes, form
