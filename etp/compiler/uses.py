"""The places where weights enter a step: trained operands of eligibility-trace nodes."""

from __future__ import annotations

from functools import cached_property

from attrs import field, frozen

from etp_ir.bilinear import Bilinear, Trained
from etp_ir.builder import Builder
from etp_ir.core import Node, Operand, Value
from etp_ir.errors import ETPError
from etp_ir.tracer import Tracer, wrap
from etp_ir.types import TensorType

from ..place import locate
from ..rules.algebra import RESERVED


@frozen(slots=False)
class Use:
    """One trained operand of one eligibility-trace node.

    Attributes
    ----------
    node
        The node ``y = op(x, weight)``.
    name
        What the primitive calls the operand.
    """

    node: Node
    name: str = field(eq=False)
    operand: int

    @property
    def output(self) -> Value:
        """The result of the node."""
        return self.node.output

    @property
    def weight(self) -> Operand:
        """The operand that is trained."""
        return self.node.inputs[self.operand]

    @property
    def trained(self) -> Trained:
        """What the primitive declares about the operand."""
        return self.node.primitive.trained[self.name]

    @cached_property
    def form(self) -> Bilinear:
        """The letters of the operation."""
        try:
            form: Bilinear = self.trained.form(*self.node.inputs, **self.node.attrs)
        except ETPError as error:
            locate(error, self.node.source)
            raise
        return form.avoiding(RESERVED)

    def input(self, builder: Builder) -> Tracer | None:
        """Return what the weight is multiplied with, in a builder that holds the operands."""
        if self.form.x is None:
            return None
        operands = self.node.inputs
        if self.trained.input is not None:
            made: Tracer = self.trained.input(
                *(wrap(builder, x) for x in operands), **self.node.attrs
            )
            return made
        (x,) = (x for i, x in enumerate(operands) if i != self.operand and x.type.dtype.is_float)
        assert isinstance(x, Value)
        return Tracer(builder, x)

    @cached_property
    def input_type(self) -> TensorType | None:
        """Type of the input."""
        made = self.input(Builder("input", share=True, float_dtype=self.output.type.dtype))
        return None if made is None else made.type


def uses_of(node: Node) -> tuple[Use, ...]:
    """Return the trained operands of a node."""
    return tuple(Use(node, name, t.operand) for name, t in node.primitive.trained.items())
