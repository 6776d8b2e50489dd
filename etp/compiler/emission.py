"""What spiking units emit, as a state of theirs.

A rule that filters what units emit, and not what they hold, needs traces of it. A spike that a
step computes from new states becomes the new value of a state whose old value nothing reads.
"""

from __future__ import annotations

from etp_ir.core import Input, Output, Program, Role, Value

from .influence import Dependence
from .names import EMITTED


def with_emissions(program: Program) -> Program:
    """Return the step in which every spike computed from new states is a state as well.

    A spike that a state holds already is one.
    """
    new = {o.value: o.role.of[0] for o in program.outputs_of("state")}
    dependence = Dependence(program)
    loss = program.output("loss").value
    taken = set(program.input_names)
    inputs, outputs = list(program.inputs), list(program.outputs)
    made = [v for v in new if isinstance(v, Value) and v in program.producers]
    for node in program.nodes:
        if node.primitive.name != "spike" or node.output in new:
            continue
        spike = node.output
        sources = [v for v in made if dependence.leads(v, spike)]
        if not sources or not dependence.leads(spike, loss):
            continue
        # The state it is read from is the last one computed.
        order = {v: k for k, n in enumerate(program.nodes) for v in n.outputs}
        owner = new[max(sources, key=lambda v: order[v])]
        name = owner + EMITTED
        while name in taken:
            name += "_"
        taken.add(name)
        inputs.append(Input(name, Role("state"), Value(spike.type, name)))
        outputs.append(Output(spike, Role("state", (name,))))
    if len(inputs) == len(program.inputs):
        return program
    return Program(program.name, tuple(inputs), program.nodes, tuple(outputs))
