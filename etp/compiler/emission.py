"""What units emit: the values that weights read within a step.

A unit emits a spike, or the value that a product reads. Whether a product reads what was emitted
in this step or feeds its own unit back is told by whose states are involved: a value is *of* the
states whose old or new value it is computed from without a product in between, and a product
leads *onward* if the loss is reached from it past the new values of these states.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from etp_ir.core import Input, Operand, Output, Program, Role, Value

from .influence import Dependence
from .names import EMITTED
from .structure import Structure
from .uses import Use

States = dict[str, tuple[Operand, Operand]]


class Emissions:
    """Whose states values are computed from, and what reads them on the way to the loss."""

    def __init__(self, program: Program, states: States, dependence: Dependence) -> None:
        self.program, self.states, self.dependence = program, states, dependence
        self.loss = program.output("loss").value
        self.results = {v for n in program.nodes if n.primitive.is_etp for v in n.outputs}

    def of(self, value: Operand) -> list[str]:
        """Return the states that a value is computed from without a product in between."""
        reaches = self.dependence.leads_avoiding
        return [
            name for name, ends in self.states.items()
            if any(isinstance(v, Value) and reaches(v, value, self.results - {v}) for v in ends)
        ]  # fmt: skip

    def live(self, value: Operand) -> bool:
        """Whether a value is of a state, or computed from a new one by any way."""
        made = (v for _, v in self.states.values() if v in self.program.producers)
        return bool(self.of(value)) or any(self.dependence.leads(v, value) for v in made)

    def onward(self, value: Operand, of: Iterable[str]) -> bool:
        """Whether the loss is reached from a value past the new values of some states."""
        avoid = {new for n in of if isinstance(new := self.states[n][1], Value) and new != value}
        return self.dependence.leads_avoiding(value, self.loss, avoid)

    def beside(self, value: Value) -> bool:
        """Whether a value is computed from more than the new values of states."""
        new = {v for _, v in self.states.values() if isinstance(v, Value) and v != value}
        reaches = self.dependence.leads_avoiding
        return any(
            isinstance(v, Value) and reaches(v, value, new)
            for v in (*self.results, *(old for old, _ in self.states.values()))
        )

    def spikes(self) -> Iterator[tuple[Value, list[str]]]:
        """Yield the spikes that lead onward, and the states they are of."""
        for node in self.program.nodes:
            if node.primitive.name == "spike":
                of = self.of(node.output)
                if self.live(node.output) and self.onward(node.output, of):
                    yield node.output, of

    def parts(self, value: Value) -> list[Value]:
        """Return what units emit of what a product reads: its spikes, or itself.

        What was joined is taken apart again; what is of no state, such as an input, is left out.
        """
        if not self.live(value):
            return []
        behind = self.dependence.leads_avoiding
        spikes = [z for z, _ in self.spikes() if behind(z, value, self.results)]
        if spikes:
            return spikes
        node = self.program.producers.get(value)
        if node is not None and node.primitive.name == "concat":
            return [z for x in node.inputs if isinstance(x, Value) for z in self.parts(x)]
        return [value]


def emissions(s: Structure) -> Emissions:
    """Return what units of a model emit."""
    return Emissions(s.program, s.states, s.dependence)  # type: ignore[arg-type]


def onward_products(s: Structure) -> dict[Use, tuple[int, Value]]:
    """Return the products of a weight that lead from what units emit to the loss of the step.

    For each its data operand: the position, and the value.
    """
    found = emissions(s)
    reading: dict[Use, tuple[int, Value]] = {}
    for use in s.weights:
        for i, x in enumerate(use.node.inputs):
            if i == use.operand or not isinstance(x, Value):
                continue
            # A product may join what another layer emits with its own units' past.
            if any(found.onward(use.output, found.of(part)) for part in found.parts(x)):
                reading[use] = (i, x)
    return reading


def emitted_values(s: Structure) -> dict[str, Value]:
    """Return the values that units emit into such products, by the first weight they meet."""
    found, names = emissions(s), dict[Value, str]()
    taken: set[str] = set()
    for use, (_, value) in onward_products(s).items():
        for part in found.parts(value):
            if part in names or not found.onward(use.output, found.of(part)):
                continue
            name, k = s.weights[use].name, 2
            while name in taken:
                name, k = f"{s.weights[use].name}.{k}", k + 1
            taken.add(name)
            names[part] = name
    return {name: value for value, name in names.items()}


def with_emissions(program: Program, *, every: bool = True) -> Program:
    """Return the step in which spikes that lead onward are states as well.

    A rule that filters what units emit, and not what they hold, needs traces of it; a signal that
    arrives there needs them where a spike is more than a function of new states. The spike becomes
    the new value of a state whose old value nothing reads; one that a state holds already is one.

    Parameters
    ----------
    every
        Whether this is so of all spikes, or only of those that are more than that.
    """
    new = {o.value: o.role.of[0] for o in program.outputs_of("state")}
    held = {n: v for v, n in new.items()}
    states: States = {
        p.name: (p.value, held[p.name]) for p in program.inputs_of("state")
        if p.name in held and p.type.dtype.is_float
    }  # fmt: skip
    taken = set(program.input_names)
    inputs, outputs = list(program.inputs), list(program.outputs)
    order = {v: k for k, n in enumerate(program.nodes) for v in n.outputs}
    found = Emissions(program, states, Dependence(program))
    for spike, of in found.spikes():
        if spike in new or not (every or found.beside(spike)):
            continue
        # The state it is called after is the last one computed.
        near = of or [n for n, (_, v) in states.items() if found.dependence.leads(v, spike)]
        owner = max(near, key=lambda n: order.get(states[n][1], -1))  # type: ignore[arg-type]
        name = owner + EMITTED
        while name in taken:
            name += "_"
        taken.add(name)
        inputs.append(Input(name, Role("state"), Value(spike.type, name)))
        outputs.append(Output(spike, Role("state", (name,))))
    if len(inputs) == len(program.inputs):
        return program
    return Program(program.name, tuple(inputs), program.nodes, tuple(outputs))
