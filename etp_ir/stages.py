"""What may exist at each stage of compilation, as a table.

A stage says which roles the inputs and outputs of a program may have, and which nodes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from attrs import frozen

from .checks import Check, Fault
from .core import ROLE_KINDS, Literal, Node, Operand, Program
from .errors import VerifyError, nearest
from .types import BOOL

MODEL_INPUTS = ("input", "target", "param", "state", "noise", "const", "buffer")
MODEL_OUTPUTS = ("output", "state", "buffer", "loss", "metric")
# A learning rule adds traces, the signals they are contracted with, and gradients.
RULE_INPUTS = (*MODEL_INPUTS, "trace", "signal", "weight", "slot", "value")
RULE_OUTPUTS = (*MODEL_OUTPUTS, "trace", "signal", "grad", "slot", "value")


@frozen
class Stage:
    """The roles that programs have at a stage, and checks beyond those of every program.

    Attributes
    ----------
    meaning
        One line for readers.
    inputs, outputs
        Kinds of roles.
    checks
        Further invariants; ``nested`` ones hold inside regions too.
    """

    meaning: str
    inputs: tuple[str, ...] = ROLE_KINDS
    outputs: tuple[str, ...] = ROLE_KINDS
    checks: tuple[Check, ...] = ()
    nested: tuple[Check, ...] = ()


def check_stage_roles(program: Program, name: str) -> Iterator[Fault]:
    """Check that roles are among those of the stage."""
    stage = stage_of(name)
    labelled = [("input", port.role, stage.inputs) for port in program.inputs]
    labelled += [("output", port.role, stage.outputs) for port in program.outputs]
    for side, role, allowed in labelled:
        if role.kind not in allowed:
            what = f"an {side} of a {name} program cannot have the role `{role}`"
            yield Fault(what, f"it may have {', '.join(allowed)}")


def check_lowered(program: Program) -> Iterator[Fault]:
    """Check that no primitive is left that stands for others."""
    for node in program.nodes:
        if node.primitive.lower is not None:
            what = f"`{node.primitive.name}` is not a core primitive"
            yield Fault(what, "apply `etp_ir.passes.lower` first", node)


# -- linearity -----------------------------------------------------------------------------
LINEAR_IN = ("input", "signal")


def check_linear(program: Program) -> Iterator[Fault]:
    """Check linearity in what depends on the inputs of roles ``input`` and ``signal``."""
    dependent: set[Operand] = {p.value for p in program.inputs_of(*LINEAR_IN)}
    for node in program.nodes:
        seeds = [x in dependent for x in node.inputs]
        if not any(seeds):
            continue
        if node.primitive.transpose is None:
            what = f"`{node.primitive.name}` has no transpose rule"
            yield Fault(what, "linearize the program at a point first", node)
        elif not _additive(node, seeds):
            what = f"`{node.primitive.name}` is not linear in its operands"
            yield Fault(what, "linearize the program at a point first", node)
        dependent.update(node.outputs)
    zeros: set[Operand] = {v for n in program.nodes if _is_zero(n) for v in n.outputs}
    for port in program.outputs:
        constant = port.value not in dependent and port.value not in zeros
        if constant and not (isinstance(port.value, Literal) and port.value.value == 0):
            what = f"output `{port.role}` depends on no input of role {' or '.join(LINEAR_IN)}"
            yield Fault(what, "a linear program gives zero there; return a broadcast 0")


def _is_zero(node: Node) -> bool:
    literal = node.inputs[0] if len(node.inputs) == 1 else None
    return (
        isinstance(literal, Literal) and literal.value == 0 and node.primitive.name == "broadcast"
    )


def _additive(node: Node, seeds: list[bool]) -> bool:
    """Whether f(a + b) = f(a) + f(b) in the marked operands, at numbers that are not special."""
    if any(not v.type.dtype.is_float for v in node.outputs):
        return False
    return all(_additive_where(node, seeds, truth) for truth in (False, True))


def _additive_where(node: Node, seeds: list[bool], truth: bool) -> bool:
    rng = np.random.default_rng(0)

    def sample(x: Operand) -> Any:
        if isinstance(x, Literal):
            return np.asarray(x.value, x.dtype.numpy())
        shape, dtype = x.type.shape, x.type.dtype
        if dtype.is_float:
            return np.asarray(rng.standard_normal(shape), dtype.numpy())
        # Zeros are valid indices, whatever they index; conditions are tried both ways.
        return np.full(shape, truth if dtype is BOOL else 0, dtype.numpy())

    def other(a: Any) -> Any:
        # The sum has the other sign than `a`, so that no kink at zero stays unseen.
        return np.asarray(-1.7 * a * (1 + 0.5 * rng.random(a.shape)), a.dtype)

    def run(arrays: list[Any]) -> tuple[Any, ...]:
        results = node.primitive.reference(*arrays, **node.attrs)
        return results if isinstance(results, tuple) else (results,)

    first = [sample(x) for x in node.inputs]
    second = [other(a) if seed else a for a, seed in zip(first, seeds, strict=True)]
    both = [a + b if seed else a for a, b, seed in zip(first, second, seeds, strict=True)]
    for a, b, ab in zip(run(first), run(second), run(both), strict=True):
        scale = max(float(np.max(np.abs(x), initial=0.0)) for x in (a, b, ab))
        if not np.allclose(np.add(a, b), ab, rtol=0, atol=0.02 * scale):
            return False
    return True


STAGES: dict[str, Stage] = {
    "traced": Stage("one step of the model, as written", MODEL_INPUTS, MODEL_OUTPUTS),
    "compiled": Stage("one step with the learning rule, one example", RULE_INPUTS, RULE_OUTPUTS),
    "batched": Stage("the same step for many examples", RULE_INPUTS, RULE_OUTPUTS),
    "scheduled": Stage("a whole sequence: steps in `scan`, chunks, updates"),
    "lowered": Stage("core primitives only, for a backend", nested=(check_lowered,)),
    "linear": Stage("linear in its inputs of roles input and signal", checks=(check_linear,)),
}


def stage_of(name: str) -> Stage:
    """Return the stage called ``name``."""
    try:
        return STAGES[name]
    except KeyError:
        raise VerifyError(f"no stage {name!r}{nearest(name, list(STAGES))}") from None
