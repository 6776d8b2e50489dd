"""The structure of a model by itself, without a learner, a backend or data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen

from etp_ir import namespace as xp
from etp_ir.core import Program
from etp_ir.source import Source
from etp_ir.types import F32, DType, TensorType, type_of

from .. import losses, rules
from ..model import Module, TracedStep, trace_step
from ..place import placed
from ..sequences import as_array
from ..traced import with_loss
from .canonical import canonical
from .case import Case
from .diagnostics import diagnose
from .graph import ETraceGraph
from .scope import Scope, parse_scope, parse_tail
from .status import statuses
from .structure import HiddenGroup, HiddenParamOpRelation, Structure, analyse

Loss = str | Callable[[Any, Any], Any]


@frozen(eq=False)
class ModuleInfo:
    """One step of a model for one example, as a program, with what the model holds.

    Attributes
    ----------
    step
        The traced step.
    """

    step: TracedStep

    @property
    def program(self) -> Program:
        """The step as a program."""
        return self.step.program

    @property
    def params(self) -> dict[str, TensorType]:
        """Types of the parameters by dotted path."""
        return {p.name: p.type for p in self.program.inputs_of("param")}

    @property
    def states(self) -> dict[str, TensorType]:
        """Types of the states by dotted path."""
        return {p.name: p.type for p in self.program.inputs_of("state")}

    @property
    def sources(self) -> dict[str, Source]:
        """The user's own lines where parameters and states were made, by dotted path."""
        return self.step.places

    def __repr__(self) -> str:
        return (f"<ModuleInfo of {self.program.name}: {len(self.params)} parameters, "
                f"{len(self.states)} states, {len(self.program.nodes)} operations>")  # fmt: skip


@placed
def extract_module_info(model: Module, x: Any, *, dtype: DType | str = F32) -> ModuleInfo:
    """Return one step of a model, traced; the model is left as it was.

    Parameters
    ----------
    x
        Input of one step for one example: an array, or a dict or tuple of arrays.
    dtype
        Floating-point type of parameters and states.

    Raises
    ------
    etp.ModelError, etp.ShapeError
        If the model cannot be traced, with the user's line.
    """
    return ModuleInfo(trace_step(model, _types(x), dtype))


def _types(x: Any) -> Any:
    if isinstance(x, Mapping):
        return {key: _types(item) for key, item in x.items()}
    if isinstance(x, tuple):
        return tuple(_types(item) for item in x)
    return type_of(as_array(x, "x"))


@placed
def compile_etrace_graph(
    model: Module, x: Any, y: Any = None, *, loss: Loss | None = None,
    rule: str | rules.LearningRule | type[rules.LearningRule] = "d_rtrl",
    window: int | None = None, scope: str | None = None, tail: str = "diagonal",
    dtype: DType | str = F32,
) -> ETraceGraph:  # fmt: skip
    """Return groups, relations, statuses and records of a model; nothing is made to run.

    Parameters
    ----------
    x, y
        Input and target of one step for one example.
    loss
        Name of a loss or a function ``(output, target) -> scalar``; by default every element of
        the output counts, and no target is needed.
    rule, window, scope, tail
        The learning rule that statuses speak of, and what it follows: see `etp.compile`.
    dtype
        Floating-point type of parameters and states.

    Raises
    ------
    etp.ETPError
        If the model cannot be traced, with the user's line, or a name is unknown.
    """
    step = extract_module_info(model, x, dtype=dtype).step
    given = rules.resolve(rule)
    chosen = given.compiled_as()
    followed = parse_scope(scope, given.default_scope)
    structure = _structure(step, y, loss, followed, parse_tail(tail))
    ahead = given.default_window if window is None else window
    found = statuses(structure, chosen, ahead)
    records = diagnose(Case(structure, found, chosen, ahead, places=step.places))
    return ETraceGraph(structure, found, records, step.places)


def _structure(
    step: TracedStep, y: Any, loss: Loss | None, scope: Scope | None = None, tail: str = "diagonal"
) -> Structure:
    if loss is None:
        target, function = step.program.output("output").type, _everything
    else:
        target, function = _types(y), losses.get(loss)
    traced = with_loss(step, target, function, {})
    return analyse(canonical(traced.program), traced.constants, scope=scope, tail=tail)


def _everything(output: Any, target: Any) -> Any:
    """Return a loss in which every element of the output counts."""
    return xp.sum(output)


def find_hidden_groups(model: Module, x: Any, **options: Any) -> tuple[HiddenGroup, ...]:
    """Return the hidden groups of a model; see `compile_etrace_graph` for the parameters."""
    return compile_etrace_graph(model, x, **options).groups


def find_hidden_param_op_relations(
    model: Module, x: Any, **options: Any
) -> tuple[HiddenParamOpRelation, ...]:
    """Return the weight products that reach a hidden group; see `compile_etrace_graph`."""
    return compile_etrace_graph(model, x, **options).relations
