"""Perturbations of hidden states: what a learning signal is the derivative with respect to."""

from __future__ import annotations

from attrs import frozen

from etp_ir import ops
from etp_ir.builder import Builder
from etp_ir.core import Operand, Program, Value
from etp_ir.errors import ModelError, nearest
from etp_ir.passes import dce
from etp_ir.tracer import Tracer, copy_nodes
from etp_ir.transforms.vjp import vjp

from .structure import HiddenGroup, Structure


@frozen(eq=False)
class HiddenPerturbation:
    r"""A step in which small numbers are added to the values of a group that leave it.

    The perturbed values are those that everything outside the group reads: readouts, losses and
    later layers. Within the group each new state is computed from unperturbed values, so that the
    derivative with respect to a perturbation is the *partial* derivative at the boundary of the
    step,

    $$\ell = \frac{\partial L}{\partial h'}\Big|_{\text{other states of the group}},$$

    which is the signal that meets the traces of the group at window 0.

    Attributes
    ----------
    group
        The perturbed group.
    program
        The step with its loss, and one more input for each perturbed state.
    inputs
        Name of that input for each state.
    """

    group: HiddenGroup
    program: Program
    inputs: dict[str, str]

    def signals(self) -> Program:
        """Return the program from the inputs and ``ct_0``, the weight of the loss, to signals.

        Its outputs are the loss and ``grad(name)`` for each input that perturbs.
        """
        return vjp(self.program, list(self.inputs.values()))


def add_hidden_perturbation(structure: Structure, group: HiddenGroup) -> HiddenPerturbation:
    """Return the step of a structure with the new states of a group perturbed.

    Raises
    ------
    etp.ModelError
        If the group is none of the structure.
    """
    if group not in structure.groups:
        names = [" ".join(g.states) for g in structure.groups]
        raise ModelError(f"no hidden group {' '.join(group.states)!r}"
                         f"{nearest(' '.join(group.states), names)}")  # fmt: skip
    program = structure.program
    builder = Builder(f"{program.name}.perturbed", track_source=True)
    builder.inputs.extend(program.inputs)
    builder.nodes.extend(program.nodes)
    moved: dict[Operand, Operand] = {}
    inputs: dict[str, str] = {}
    fixed = {p.value for p in program.inputs}
    for state in group.states:
        new = structure.states[state][1]
        if isinstance(new, Value) and new not in fixed and new not in moved:
            inputs[state] = f"perturbation.{state}"
            small = Tracer(builder, builder.input(inputs[state], new.type, "signal"))
            moved[new] = ops.add(Tracer(builder, new), small).value
    states = set(moved)
    for node in program.nodes:
        if any(x in moved for x in node.inputs) and not states.intersection(node.outputs):
            copy_nodes([node], builder, moved)
    loss = program.output("loss")
    return HiddenPerturbation(
        group, dce(builder.finish([(moved.get(loss.value, loss.value), loss.role)])), inputs
    )
