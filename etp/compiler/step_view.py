"""A whole step as a learning rule sees it that is written for the model, not for one relation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from math import prod
from typing import Any

from attrs import define, field

from etp_ir import ops
from etp_ir.core import Operand, Value
from etp_ir.tracer import Tracer, copy_nodes, wrap
from etp_ir.transforms.jvp import push
from etp_ir.transforms.several import push_several
from etp_ir.transforms.vjp import pullback

from ..rules.bundle import Bundle, shaped
from .boundary import Boundary
from .numbers import StepNumbers
from .past import Recording, back, pushed, record
from .pieces import Pieces
from .structure import Structure
from .uses import Use
from .view import RelationView

Shape = tuple[int, ...]
# Streams of draws that belong to a sequence, apart from those of steps (numbered from 1).
_SEQUENCE = 1000


@define(slots=False)
class ModelView:
    """The sizes of a model: what a rule needs to say which arrays it keeps."""

    structure: Structure

    @cached_property
    def states(self) -> dict[str, Shape]:
        """Shapes of the states through which weights act on later losses, by path."""
        s = self.structure
        return {n: s.states[n][0].type.shape for n in s.states if n in s.influence.live}

    @cached_property
    def params(self) -> dict[str, Shape]:
        """Shapes of the parameters that reach a state, by path."""
        s = self.structure
        ports = s.program.inputs_of("param")
        return {p.name: p.type.shape for p in ports if s.influence.reached(p.value)}

    @property
    def size(self) -> int:
        """Number of state variables."""
        total = 0
        for n in self.states:
            total += self.structure.states[n][0].type.size
        return total

    @cached_property
    def recording(self) -> Recording:
        """What has to be kept of a step to differentiate it later; see `StepView.back`."""
        return Recording(self.structure)

    @cached_property
    def products(self) -> dict[str, Use]:
        """The products of weights that reach a state, by the name of the weight."""
        s = self.structure
        found: dict[str, Use] = {}
        for use, w in s.weights.items():
            if s.influence.reached(use.output):
                name = w.name
                k = 2
                while name in found:
                    name, k = f"{w.name}.{k}", k + 1
                found[name] = use
        return found


@define(slots=False)
class StepView(ModelView):
    """One step of one example.

    Parameters
    ----------
    pieces
        The program under construction.
    numbers
        Counter and random numbers.
    at
        The boundary of the step over all states; ``at.shared`` are the arrays that all examples
        share.

    Attributes
    ----------
    learned
        Shared arrays after the step, once the rule has advanced.
    """

    pieces: Pieces
    numbers: StepNumbers
    at: Boundary
    learned: dict[str, Tracer] = field(init=False, factory=dict)

    @property
    def count(self) -> Tracer:
        """The number of steps before this one; of a rule with ``counts_steps``."""
        return self.numbers.count

    @property
    def ends(self) -> Tracer:
        """Whether the sequence ends with this step; of a rule with ``sees_end``.

        Steps of a stream never say so: nothing is known there of what comes.
        """
        return self.numbers.ends

    @property
    def shared(self) -> Mapping[str, Tracer]:
        """The arrays that all examples share, by name."""
        return self.at.shared

    @cached_property
    def old(self) -> Bundle:
        """The states before the step."""
        return Bundle({n: self._wrap(self.structure.states[n][0]) for n in self.states})

    @cached_property
    def new(self) -> Bundle:
        """The states after the step."""
        return Bundle({n: self._wrap(self.structure.states[n][1]) for n in self.states})

    @property
    def relations(self) -> list[RelationView]:
        """The relations of weights and states, with their arrays."""
        return [self.pieces.view(r, self.numbers) for r in self.structure.relations]

    def input_of(self, use: Use) -> Tracer | None:
        """Return what a weight is multiplied with, or None for an element-wise one."""
        return use.input(self.pieces.builder)

    # -- derivatives ------------------------------------------------------------------------
    def jvp(
        self, states: Mapping[str, Tracer] | None = None,
        params: Mapping[str, Tracer] | None = None, *, several: bool = False,
    ) -> Bundle:  # fmt: skip
        r"""Return :math:`J\,\dot h + F\,\dot\theta`: tangents of the new states.

        Parameters
        ----------
        states, params
            Tangents of old states and of parameters, by path; zero where absent.
        several
            Whether there are several of each, along a first axis; so there are of the result.
        """
        s = self.structure
        given: dict[Value, Any] = {s.states[n][0]: x for n, x in (states or {}).items()}
        ports = {p.name: p.value for p in s.program.inputs_of("param")}
        given.update({ports[n]: x for n, x in (params or {}).items()})
        after = {n: s.states[n][1] for n in self.states}
        if not several:
            known = push(self.pieces.builder, s.program.nodes, given, detach=s.joints)
            return Bundle({n: self._found(known, v) for n, v in after.items()})
        wanted = [v for v in after.values() if isinstance(v, Value)]
        known = push_several(self.pieces.builder, s.program.nodes, given, wanted, detach=s.joints)
        (count,) = {x.shape[0] for x in given.values()}
        return Bundle({
            n: known[v] if isinstance(v, Value) and v in known
            else self.zeros((count, *v.type.shape)) for n, v in after.items()
        })  # fmt: skip

    def vjp(self, states: Mapping[str, Tracer]) -> tuple[Bundle, Bundle]:
        r"""Return :math:`q^\top J` and :math:`q^\top F` for cotangents of the new states.

        Returns
        -------
        states
            Cotangents of the old states.
        params
            Cotangents of the parameters that reach a state.
        """
        s = self.structure
        ports = {p.name: p.value for p in s.program.inputs_of("param") if p.name in self.params}
        old = {n: s.states[n][0] for n in self.states}
        cotangents: dict[Value, Any] = {}
        for n, x in states.items():
            after = s.states[n][1]
            if isinstance(after, Value):
                held = cotangents.get(after)
                cotangents[after] = x if held is None else ops.add(held, x)
        pulled = pullback(
            self.pieces.builder, s.program.nodes, [*old.values(), *ports.values()], cotangents,
            detach=s.joints,
        )  # fmt: skip
        return (
            Bundle({n: self._found(pulled, v) for n, v in old.items()}),
            Bundle({n: self._found(pulled, v) for n, v in ports.items()}),
        )

    def at_products(self, states: Mapping[str, Tracer]) -> dict[str, Tracer]:
        r"""Return :math:`\partial(q^\top h')/\partial y` at the result of every product."""
        s = self.structure
        cotangents: dict[Value, Any] = {
            after: x for n, x in states.items() if isinstance(after := s.states[n][1], Value)
        }
        taps = [use.output for use in self.products.values()]
        old = [s.states[n][0] for n in self.states]
        pulled = pullback(
            self.pieces.builder, s.program.nodes, old, cotangents, taps=taps, detach=s.joints
        )
        return {n: self._found(pulled, use.output) for n, use in self.products.items()}

    def credit(self, use: Use, cotangent: Tracer) -> Tracer:
        """Return the derivative by a weight, given that by the result of its product."""
        return self.pieces.credit(use, cotangent)

    # -- other courses of the step ----------------------------------------------------------
    def replay(
        self, states: Mapping[str, Tracer], shifts: Mapping[str, Tracer] | None = None,
        noise: Mapping[str, Tracer] | None = None,
    ) -> tuple[Bundle, Tracer, Tracer]:  # fmt: skip
        """Return new states, loss and output of the step from other states.

        Parameters
        ----------
        states
            Old states by path; those of the step where absent.
        shifts
            What is added to the results of products, by the name of the weight.
        noise
            What is added to new states where they leave the step: loss, output and later steps
            see it, other new states of the step do not.
        """
        s, b = self.structure, self.pieces.builder
        env: dict[Operand, Operand] = {s.states[n][0]: x.value for n, x in states.items()}
        added = {self.products[n].output: x for n, x in (shifts or {}).items()}
        for node in s.program.nodes:
            copy_nodes([node], b, env)
            for y in node.outputs:
                if y in added:
                    env[y] = ops.add(wrap(b, env[y]), added[y]).value
        after = {s.states[n][1]: x for n, x in (noise or {}).items()}
        for v, x in after.items():
            env[v] = ops.add(wrap(b, env.get(v, v)), x).value
        for node in s.program.nodes if after else ():
            if after.keys().isdisjoint(node.outputs):
                copy_nodes([node], b, env)
        new = {n: wrap(b, env.get(v, v)) for n in self.states for v in [s.states[n][1]]}
        loss, output = (s.program.output(k).value for k in ("loss", "output"))
        return Bundle(new), wrap(b, env.get(loss, loss)), wrap(b, env.get(output, output))

    def record(self, ring: Mapping[str, Tracer]) -> Bundle:
        """Return a ring of past steps, of shapes ``model.recording.ring(length)``, after this one.

        The last entries are those of this step.
        """
        return record(self, ring)

    def push(self, ring: Tracer, x: Tracer | None) -> Tracer:
        """Return a ring without its oldest entry and with a new one at the end, zero for None."""
        return pushed(ring, self.zeros(ring.shape[1:]) if x is None else x)

    def last(self, x: Tracer, length: int) -> Tracer:
        """Return a ring that is zero but for its last entry."""
        return pushed(self.zeros((length, *x.shape)), x)

    def back(
        self, ring: Mapping[str, Tracer], credit: Mapping[str, Tracer],
        fed: Mapping[str, Tracer] | None = None, where: Tracer | None = None,
    ) -> Bundle:  # fmt: skip
        """Return the gradients that credit gives on its way back over recorded steps.

        See `etp.compiler.past.back`.
        """
        return back(self, ring, credit, fed, where)

    # -- random numbers ---------------------------------------------------------------------
    def signs(self, like: Mapping[str, Any]) -> Bundle:
        """Return random signs in the shapes of a bundle, or of shapes by path."""
        return self._drawn(self.numbers.signs, like)

    def normal(
        self, like: Mapping[str, Any], *, per: str = "step", number: int = 0
    ) -> Bundle:  # fmt: skip
        """Return normally distributed numbers in the shapes of a bundle, or of shapes by path.

        With ``per="sequence"`` they are the same in every step, and in every call for equal
        shapes and an equal number of the draw.
        """
        if per == "step":
            return self._drawn(self.numbers.normal, like)
        return self._drawn(self.numbers.normal, like, per=per, stream=_SEQUENCE + number)

    def _drawn(self, draw: Callable[..., Any], like: Mapping[str, Any], **how: Any) -> Bundle:
        """Return the parts of one draw: a draw is many operations, however few its numbers."""
        shapes = {n: _shape(x) for n, x in like.items()}
        return shaped(draw((sum(map(prod, shapes.values())),), **how), shapes)

    def zeros(self, shape: Shape) -> Tracer:
        """Return an array of zeros."""
        b = self.pieces.builder
        zero: Tracer = ops.full(b, shape, 0.0, b.float_dtype)
        return zero

    def _wrap(self, value: Operand) -> Tracer:
        b = self.pieces.builder
        if isinstance(value, Value):
            return Tracer(b, value)
        full: Tracer = ops.full(b, value.type.shape, value.value, value.type.dtype)
        return full

    def _found(self, known: Mapping[Value, Tracer], value: Any) -> Tracer:
        if isinstance(value, Value) and value in known:
            return known[value]
        zero: Tracer = ops.full(self.pieces.builder, value.type.shape, 0.0, value.type.dtype)
        return zero


def _shape(x: Any) -> Shape:
    return tuple(x.shape) if hasattr(x, "shape") else tuple(x)
