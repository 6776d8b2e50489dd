"""The verifier: good programs pass, and each way to break one is named, shown and mended."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from etp_ir import (
    Builder,
    Input,
    Literal,
    Node,
    Primitive,
    Program,
    Role,
    TensorType,
    Value,
    VerifyError,
    ops,
    trace,
)  # fmt: skip
from etp_ir.checks import INTERFACE, STRUCTURE
from etp_ir.core import ROLE_KINDS
from etp_ir.parser import parse
from etp_ir.passes import lower
from etp_ir.primitive import get
from etp_ir.stages import STAGES
from etp_ir.transforms import vjp
from etp_ir.types import BOOL, F32, I32, U32
from etp_ir.verify import verify
from tests.ir.text_cases import programs

GOOD = """\
program @gru.step(
    %x: f32[2] input,
    %h: f32[3] state,
    %w: f32[5,3] param
) -> (f32[3] state(h), f32[] loss) {
  %xh = concat %x, %h {axis = 0} : f32[5]
  %pre = etp.matmul %xh, %w : f32[3]
  %z = logistic %pre : f32[3]
  %one = sub 1, %z : f32[3]
  %kept = mul %one, %h : f32[3]
  %new = add %kept, %z : f32[3]
  %err = mul %new, %new : f32[3]
  %sum = reduce_sum %err {axes = [0]} : f32[]
  return %new, %sum
}"""

LOOP = """\
program @seq(%xs: f32[4,2] input, %h: f32[2] state) -> (f32[2] state(h)) {
  %h_next = scan %h, %xs {
    length = 4, consts = 0, carries = 1, reverse = false,
    body = program @body(%h: f32[2] carry(h), %x: f32[2] input) -> (f32[2] carry(h)) {
      %g = tanh %x : f32[2]
      %new = add %h, %g : f32[2]
      return %new
    }
  } : f32[2]
  return %h_next
}"""


def refused(program: Program | str, stage: str | None = None) -> str:
    """Return the text of the error for a program that is wrong."""
    with pytest.raises(VerifyError) as caught:
        verify(parse(program) if isinstance(program, str) else program, stage)
    return str(caught.value)


def edited(program: Program, index: int, **changes: Any) -> Program:
    """Return the program with one node changed."""
    nodes = list(program.nodes)
    nodes[index] = evolve(nodes[index], **changes)
    return evolve(program, nodes=tuple(nodes))


def test_good_programs_are_handed_back() -> None:
    for text in (GOOD, LOOP):
        program = parse(text)
        assert verify(program) is program
    assert verify(parse(GOOD), "traced").name == "gru.step"


# -- the whole message ---------------------------------------------------------------------
def test_a_message_says_what_where_and_how() -> None:
    assert refused(GOOD.replace("sub 1, %z", "sub %x, %z")) == (
        "`sub` needs equal shapes, got f32[2] and f32[3]\n"
        "  in program @gru.step\n"
        "    1 |   %xh = concat %x, %h {axis = 0} : f32[5]\n"
        "    2 |   %pre = etp.matmul %xh, %w : f32[3]\n"
        "    3 |   %z = logistic %pre : f32[3]\n"
        "  > 4 |   %one = sub %x, %z : f32[3]\n"
        "    5 |   %kept = mul %one, %h : f32[3]\n"
        "    6 |   %new = add %kept, %z : f32[3]\n"
        "    7 |   %err = mul %new, %new : f32[3]\n"
        "insert `broadcast`, or slice the larger operand"
    )


def test_a_message_names_the_line_of_the_user() -> None:
    def step(x: Any) -> Any:
        y = ops.tanh(x)
        return ops.neg(y)

    program, _ = trace(step, {"x": TensorType(F32, (3,))}, name="step")
    wrong = edited(program, 1, outputs=(Value(TensorType(F32, (4,))),))
    line = step.__code__.co_firstlineno + 2
    message = refused(evolve(wrong, outputs=()))
    assert "`neg` gives f32[3] but is annotated f32[4]" in message
    assert f"traced at {__file__}:{line} in {step.__qualname__}" in message
    assert message.endswith("annotate what it gives, or append the node with `Builder.emit`")


def test_a_message_about_a_region_shows_the_node_that_holds_it() -> None:
    message = refused(LOOP.replace("add %h, %g", "add %h, 1:i32"))
    assert message.startswith("`add` needs equal element types, got f32[2] and i32[]")
    inner, outer = message.split("which is `body` of the node marked")
    assert "> 2 |   %new = add %h, 1:i32 : f32[2]" in inner
    assert "in program @seq" in outer
    assert "> 1 |   %h_next = scan %h, %xs {length = 4" in outer


# -- one breach each -----------------------------------------------------------------------
@pytest.mark.parametrize(
    ("old", "new", "what", "how"),
    [
        ("%new, %new : f32[3]", "%new, %new : f32[4]",
         "`mul` gives f32[3] but is annotated f32[4]", "annotate what it gives"),
        ("logistic %pre : f32[3]", "logistic %pre : f64[3]",
         "`logistic` gives f32[3] but is annotated f64[3]", "annotate what it gives"),
        ("etp.matmul %xh, %w", "etp.matmul %x, %w",
         "`etp.matmul` got an input of width 2 for a weight of 5 inputs", "give it operands"),
        ("logistic %pre", "logistic %pre, %pre",
         "`logistic` takes 1 operands, got 2", "give it operands"),
        ("reduce_sum %err", "reduce_sum %err, %err",
         "`reduce_sum` cannot take f32[3], f32[3]: ", "give it the operands"),
        ("{axes = [0]}", "{axes = [1]}", "`reduce_sum` of f32[3] cannot reduce axes (1,)", "fit"),
        ("{axis = 0}", "{}", "`concat` lacks its attribute axis", "give it axis"),
        ("{axis = 0}", "{axis = 0, shape = [5]}",
         "`concat` has no attribute shape", "it has axis"),
        ("logistic %pre", "logistic %pre {axis = 0}",
         "`logistic` has no attribute axis", "it has none"),
        ("{axis = 0}", "{axis = true}", "attribute axis of `concat` is True", "type `int`"),
        ("{axis = 0}", "{axis = 0.0}", "attribute axis of `concat` is 0.0", "type `int`"),
        ("sub 1, %z", "sub 1:f64, %z", "`sub` needs equal element types", "give it operands"),
        ("mul %one, %h", "mul %one, %w", "`mul` needs equal shapes", "insert `broadcast`"),
        ("f32[] loss", "f32[] losss", "unknown role `losss`", "did you mean 'loss'?"),
        ("%x: f32[2] input", "%x: f32[2] inptu",
         "input %x has the unknown role `inptu`", "did you mean 'input'?"),
        ("state(h)", "state(k)", "`state(k)` refers to %k, which is no input", "name an input"),
        ("state(h)", "state(w)", "refers to %w, an input of role `param`", "the role state"),
        ("state(h)", "grad(v)", "`grad(v)` refers to %v, which is no input", "name an input"),
        ("state(h)", "grad", "output `grad` does not say of which input", "write `grad(name)`"),
        ("f32[] loss", "f32[] state(h)", "two outputs have the key state(h)", "another role"),
    ],
)  # fmt: skip
def test_a_breach_is_named_and_mended(old: str, new: str, what: str, how: str) -> None:
    assert GOOD.count(old) >= 1
    annotated = GOOD.replace(old, new, 1)
    # A changed type would be refused by the parser where it is returned.
    message = refused(annotated)
    assert what in message.splitlines()[0]
    assert how in message.splitlines()[-1]
    assert "in program @gru.step" in message


def test_names_of_inputs_are_different() -> None:
    program = parse(GOOD)
    x, h, w = program.inputs
    twice = evolve(program, inputs=(x, h, Input("x", w.role, w.value)))
    assert refused(twice).startswith("two inputs are called %x")
    nameless = evolve(program, inputs=(Input("", x.role, x.value), h, w))
    assert refused(nameless).startswith("an input of type f32[2] has no name")
    shared = evolve(program, inputs=(*program.inputs, Input("y", x.role, x.value)))
    assert refused(shared).startswith("%y has the value of another input")


def test_a_gradient_may_be_of_a_weight_made_of_parameters() -> None:
    text = """
    program @step(%x: f32[3] input, %w: f32[3] param) -> (f32[3] grad(w.expr)) {
      %w.expr = abs %w : f32[3]
      %0 = mul %x, %w.expr : f32[3]
      return %0
    }
    """
    verify(parse(text))
    verify(parse(text.replace("%w.expr", "%1")))  # simplified away, and named after w still
    assert "`grad(v.expr)` refers to" in refused(text.replace("grad(w.expr)", "grad(v.expr)"))


def test_a_gradient_may_be_of_what_a_trace_refers_to() -> None:
    text = """program @f(%e: f32[3] trace(w.masked, h), %s: f32[] signal(h)) -> (f32[3] grad(W)) {
      %g = contract %s, %e {spec = ",i->i"} : f32[3]
      return %g
    }"""
    verify(parse(text.replace("grad(W)", "grad(w.masked)")), "compiled")
    assert refused(text).startswith("output `grad(W)` refers to %W, which is no input")


def test_a_value_is_assigned_once() -> None:
    program = parse(GOOD)
    message = refused(evolve(program, nodes=(*program.nodes, program.nodes[2])))
    assert message.startswith("%z is assigned a second time")
    assert "> 3 |   %z = logistic" in message


def test_a_value_is_defined_before_it_is_used() -> None:
    program = parse(GOOD)
    a, b, c, *rest = program.nodes
    message = refused(evolve(program, nodes=(a, c, b, *rest)))
    assert message.startswith("%pre is used before it is defined")
    assert "> 2 |   %z = logistic %pre : f32[3]" in message
    assert "order the nodes" in message

    message = refused(evolve(program, nodes=program.nodes[:-1]))
    assert message.startswith("%sum of type f32[] is defined nowhere in this program")

    stranger = Value(TensorType(F32, (3,)), "stranger")
    message = refused(edited(program, 2, inputs=(stranger,)))
    assert message.startswith("%stranger of type f32[3] is defined nowhere in this program")
    assert "> 3 |   %z = logistic %stranger? : f32[3]" in message
    assert message.endswith("regions see nothing but their inputs")


def test_a_region_sees_only_its_inputs() -> None:
    program = parse(LOOP)
    (node,) = program.nodes
    body = node.attrs["body"]
    leaking = edited(body, 0, inputs=(program.inputs[1].value,))
    message = refused(edited(program, 0, attrs={**node.attrs, "body": leaking}))
    assert message.startswith("%h of type f32[2] is defined nowhere in this program")
    assert "in program @body" in message


@pytest.mark.parametrize(
    ("number", "dtype"),
    [(1, F32), (1.0, I32), (True, I32), (1, BOOL), (2**31, I32), (-1, U32), (2**32, U32)],
)
def test_a_literal_is_a_number_of_its_type(number: Any, dtype: Any) -> None:
    b = Builder("f")
    b.nodes.append(
        Node(
            get("broadcast"), (Literal(number, dtype),), (Value(TensorType(dtype, (2,))),),
            {"shape": (2,), "axes": ()},
        )
    )  # fmt: skip
    assert refused(b.finish([])).startswith(f"literal {number!r} is not a number of type {dtype}")
    message = refused(Builder("f").finish([(Literal(number, dtype), "loss")]))
    assert message.startswith(f"literal {number!r} is not a number of type {dtype}")


@pytest.mark.parametrize("item", [None, {"a": 1}, object, __import__("numpy").float32(1.0)])
def test_an_attribute_has_a_text(item: Any) -> None:
    program = edited(parse(GOOD), 0, attrs={"axis": item})
    message = refused(program)
    assert "attribute axis of `concat` is" in message
    assert "which has no text" in message


def test_a_primitive_is_registered() -> None:
    private = Primitive("tanh", infer=lambda x: x.type, reference=lambda x: x)
    message = refused(edited(parse(GOOD), 2, primitive=private))
    assert message.startswith("`tanh` is not a registered primitive")
    assert message.endswith("declare it with `etp_ir.register`")


# -- corruption at random ------------------------------------------------------------------
@settings(max_examples=40, deadline=None)
@given(programs(), st.data())
def test_every_wrong_annotation_is_found(program: Program, data: st.DataObject) -> None:
    # Of a value that no other node reads, so that nothing else is wrong.
    read = {x for n in program.nodes for x in n.inputs}
    last = [i for i, n in enumerate(program.nodes) if not read.intersection(n.outputs)]
    assume(last)
    index = data.draw(st.sampled_from(last))
    node = program.nodes[index]
    before = node.outputs[-1].type
    other = [
        before.with_shape((*before.shape, 1)),
        before.with_dtype(I32 if before.dtype is not I32 else F32),
    ]
    after = Value(data.draw(st.sampled_from(other)))
    wrong = edited(program, index, outputs=(*node.outputs[:-1], after))
    message = refused(evolve(wrong, outputs=()))
    assert message.startswith(f"`{node.primitive.name}` gives ")
    assert f"{before} but is annotated" in message
    assert message.splitlines()[0].endswith(str(after.type))
    assert f"> {index + 1} |" in message


@settings(max_examples=40, deadline=None)
@given(programs(), st.data())
def test_every_lost_definition_is_found(program: Program, data: st.DataObject) -> None:
    used = {x for n in program.nodes for x in n.inputs} | {o.value for o in program.outputs}
    lost = [n for n in program.nodes if used.intersection(n.outputs)]
    assume(lost)
    gone = data.draw(st.sampled_from(lost))
    nodes = tuple(n for n in program.nodes if n is not gone)
    assert "is defined nowhere in this program" in refused(evolve(program, nodes=nodes))


# -- stages --------------------------------------------------------------------------------
def test_the_stages_are_these() -> None:
    assert list(STAGES) == ["traced", "compiled", "batched", "scheduled", "lowered", "linear"]
    for stage in STAGES.values():
        assert set(stage.inputs) | set(stage.outputs) <= set(ROLE_KINDS)
        assert stage.meaning
    assert len(STRUCTURE) + len(INTERFACE) >= 11


def test_an_unknown_stage_is_named() -> None:
    with pytest.raises(VerifyError, match=r"no stage 'lowerd'; did you mean 'lowered'\?"):
        verify(parse(GOOD), "lowerd")


def test_a_traced_program_has_no_traces_and_a_compiled_one_may() -> None:
    text = GOOD.replace("%w: f32[5,3] param", "%w: f32[5,3] param, %e: f32[5,3] trace(w, h)")
    verify(parse(text), "compiled")
    verify(parse(text), "batched")
    message = refused(text, "traced")
    assert message.startswith("an input of a traced program cannot have the role `trace(w, h)`")
    assert "it may have input, target, param" in message
    message = refused(GOOD.replace("f32[] loss", "f32[] grad(h)"), "traced")
    assert message.startswith("an output of a traced program cannot have the role `grad(h)`")


def test_a_lowered_program_has_core_primitives_only_in_regions_too() -> None:
    message = refused(GOOD, "lowered")
    assert message.startswith("`etp.matmul` is not a core primitive")
    assert message.endswith("apply `etp_ir.passes.lower` first")
    verify(lower(parse(GOOD)), "lowered")
    marked = parse(LOOP.replace("tanh %x", "stop_gradient %x"))
    assert refused(marked, "lowered").startswith("`stop_gradient` is not a core primitive")
    assert "in program @body" in refused(marked, "lowered")
    verify(lower(marked), "lowered")


LINEAR = """program @f(
    %x: f32[3] input, %y: f32[3] signal(h), %w: f32[3,2] param, %m: bool[3] const
) -> (f32[2] output(0), f32[3] output(1), f32[] output(2)) {
  %a = contract %x, %w {spec = "i,io->o"} : f32[2]
  %b = sub %x, %y : f32[3]
  %c = select %m, %b, 0 : f32[3]
  %d = mul 2, %c : f32[3]
  return %a, %d, 0
}"""


def test_a_linear_program_is_linear() -> None:
    verify(parse(LINEAR), "linear")
    for old, new, what in [
        ("sub %x, %y", "mul %x, %y", "`mul` is not linear in its operands"),
        ("sub %x, %y", "add %x, 1", "`add` is not linear in its operands"),
        ("sub %x, %y", "maximum %x, 0", "`maximum` is not linear in its operands"),
        ("sub %x, %y", "abs %x", "`abs` is not linear in its operands"),
        ("sub %x, %y", "rem %x, 1", "`rem` is not linear in its operands"),
        ("sub %x, %y", "sign %x", "`sign` has no transpose rule"),
        ("%b, 0 :", "%b, 1 :", "`select` is not linear in its operands"),
        ("%b, 0 :", "1, %b :", "`select` is not linear in its operands"),
        ("mul 2, %c", "div 2, %c", "`div` is not linear in its operands"),
        ("%a, %d, 0", "%a, %d, 1", "output `output(2)` depends on no input of role input"),
    ]:  # fmt: skip
        message = refused(LINEAR.replace(old, new), "linear")
        assert message.startswith(what), (new, message)
    verify(parse(LINEAR.replace("mul 2, %c", "div %c, 2")), "linear")


def test_a_backward_pass_is_linear_in_its_cotangents() -> None:
    program, _ = trace(
        lambda x: ops.mul(ops.tanh(x), x), {"x": TensorType(F32, (3,))}, name="f",
        roles={"x": Role("param")},
    )  # fmt: skip
    back = vjp(program, ["x"])
    gradient = evolve(back, outputs=back.outputs_of("grad"))
    assert [p.role.kind for p in gradient.inputs] == ["param", "input"]
    assert len(gradient.nodes) > 3
    verify(gradient, "linear")
    assert "depends on no input" in refused(back, "linear")
