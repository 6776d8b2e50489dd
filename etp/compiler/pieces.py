"""Emission of what learning rules are made of, for one step of one example.

For a step ``(h', L) = F(h, x; w)`` with weight products ``y = op(x, w)``:

* ``D`` of a group: the position-wise part of dh'/dh;
* ``u`` of a relation: dh'/dy, the total derivative inside the step, at the position that ``y``
  reaches;
* signals: derivatives of the loss with respect to the old states ``h``, the results ``y`` and
  the parameters used outside products. Each path from the loss is followed once, so nothing
  that ``u`` counts inside the step is counted again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import define, field, frozen

from etp_ir import ops
from etp_ir.builder import Builder
from etp_ir.core import Program, Value
from etp_ir.tracer import Tracer
from etp_ir.transforms.vjp import pullback

from .axes import float_dtype
from .numbers import StepNumbers
from .rows import Rows
from .structure import HiddenParamOpRelation, Structure
from .uses import Use
from .view import RelationView, relation_view


@frozen(eq=False)
class Signals:
    """Derivatives of the loss of one step.

    Attributes
    ----------
    states
        With respect to each old state, by path.
    products
        With respect to the result of the node, for each trained operand.
    params
        With respect to each parameter, through uses outside eligibility-trace nodes.
    """

    states: dict[str, Tracer]
    products: dict[Use, Tracer]
    params: dict[str, Tracer]


@define
class Pieces:
    """A builder that starts as a traced step and grows what a rule asks for."""

    structure: Structure
    name: str
    builder: Builder = field(init=False)
    rows: Rows = field(init=False)

    def __attrs_post_init__(self) -> None:
        program = self.structure.program
        self.builder = Builder(self.name, share=True, float_dtype=float_dtype(program))
        for port in program.inputs:
            self.builder.inputs.append(port)
        # The traced nodes are appended as they are: their values stand for themselves.
        self.builder.nodes.extend(program.nodes)
        self.rows = Rows(self.structure, self.builder)

    @property
    def program(self) -> Program:
        """The traced step."""
        return self.structure.program

    def view(
        self, relation: HiddenParamOpRelation, numbers: StepNumbers | None = None
    ) -> RelationView:
        """Return the relation with its named arrays."""
        return relation_view(self.rows, relation, numbers)

    def signals(
        self, seed: Tracer, *, later: Mapping[str, Tracer] | None = None,
        past: Mapping[str, Value] | None = None,
    ) -> Signals:  # fmt: skip
        """Return the derivatives of ``seed * loss``, plus what later steps report.

        Parameters
        ----------
        seed
            Scalar weight of this step's loss.
        later
            Derivatives with respect to the new states that come from later steps.
        past
            Values whose paths are left out.
        """
        s = self.structure
        program = s.program
        loss = program.output("loss").value
        cotangents: dict[Value, Any] = {}
        if isinstance(loss, Value):
            cotangents[loss] = seed
        for state, x in (later or {}).items():
            after = s.states[state][1]
            if isinstance(after, Value):
                held = cotangents.get(after)
                cotangents[after] = x if held is None else ops.add(held, x)
        trained = list(s.weights)
        detach = {(use.node, use.operand) for use in trained}
        old = {name: before for name, (before, _) in s.states.items()}
        params = {p.name: p.value for p in program.inputs_of("param")}
        pulled = pullback(
            self.builder, program.nodes,
            [*old.values(), *params.values(), *(past or {}).values()], cotangents,
            taps=list(dict.fromkeys(use.output for use in trained)), detach=detach,
        )  # fmt: skip
        return Signals(
            {n: pulled[v] for n, v in old.items() if v in pulled},
            {use: pulled[use.output] for use in trained if use.output in pulled},
            {n: pulled[v] for n, v in params.items() if v in pulled},
        )

    def credit(self, use: Use, cotangent: Tracer) -> Tracer:
        """Return the derivative with respect to a weight, given that of the node's result."""
        weight = use.weight
        assert isinstance(weight, Value)
        others = {(use.node, i) for i in range(len(use.node.inputs)) if i != use.operand}
        pulled = pullback(
            self.builder, [use.node], [weight], {use.output: cotangent}, detach=others
        )
        if weight not in pulled:
            return ops.full(self.builder, weight.type.shape, 0.0, weight.type.dtype)
        return pulled[weight]
