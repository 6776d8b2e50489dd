"""A step of a model together with its loss, as one program for one example."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from attrs import frozen

from etp_ir.builder import Builder
from etp_ir.core import Program, Role
from etp_ir.errors import ModelError, TypeRuleError, compose
from etp_ir.tracer import Tracer, operand, replay, unwrap
from etp_ir.types import TensorType

from .model import TracedStep
from .place import place_of


@frozen
class TracedLoss:
    """A step with its loss.

    Attributes
    ----------
    program
        Inputs of the step and ``target``; outputs ``output``, ``loss``, ``metric(name)`` and
        ``state(path)``.
    constants
        Captured arrays by input name.
    """

    program: Program
    constants: dict[str, np.ndarray[Any, Any]]


def with_loss(
    step: TracedStep, target: TensorType, loss: Callable[[Any, Any], Any],
    metrics: Mapping[str, Callable[[Any, Any], Any]],
) -> TracedLoss:  # fmt: skip
    """Return the step followed by its loss, and by metrics that are only reported.

    Raises
    ------
    etp.ModelError
        If the loss is not a scalar.
    """
    program = step.program
    dtype = program.output("output").type.dtype
    b = Builder(program.name, float_dtype=dtype, track_source=True)
    given = [Tracer(b, b.input(p.name, p.type, p.role)) for p in program.inputs]
    if target.dtype.is_float:
        target = target.with_dtype(dtype)
    taken = {p.name for p in program.inputs}
    name = next(n for n in ("target", "y", "step_target") if n not in taken)
    y = Tracer(b, b.input(name, target, "target"))
    results = replay(program, b, given)
    output = results[0]
    if not isinstance(output, Tracer):
        raise ModelError(f"the output of {program.name} is a constant")
    met = f"for an output of {output.type} and a target of {y.type}"
    try:
        scalar = unwrap(loss(output, y))
    except TypeRuleError as error:
        raise type(error)(f"{error}\n{met}") from error
    if not isinstance(scalar, Tracer) or scalar.shape != ():
        got = scalar.type if isinstance(scalar, Tracer) else type(scalar).__name__
        place = place_of(getattr(loss, "function", loss))
        raise ModelError(
            compose(
                f"the loss must be a traced scalar, got {got}",
                where="\n".join(filter(None, (met, place))),
                how="reduce it with functions of xp, for example xp.sum or xp.mean",
            )
        )
    pairs: list[tuple[Any, Role]] = [(output.value, Role("output")), (scalar.value, Role("loss"))]
    for metric, function in metrics.items():
        pairs.append((operand(b, unwrap(function(output, y)), dtype), Role("metric", (metric,))))
    for result, out in zip(results[1:], program.outputs[1:], strict=True):
        pairs.append((operand(b, result, out.type.dtype), out.role))
    return TracedLoss(b.finish(pairs), {**step.constants, **b.bindings})
