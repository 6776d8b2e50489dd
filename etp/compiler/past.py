"""Steps of the past, kept to be differentiated again: a ring of what they depended on."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from attrs import define

from etp_ir import ops
from etp_ir.core import Node, Operand, Value
from etp_ir.fork import Fork
from etp_ir.loop import Loop
from etp_ir.tracer import Tracer, copy_nodes
from etp_ir.transforms.dataflow import needed
from etp_ir.transforms.vjp import pullback
from etp_ir.types import TensorType

from ..rules.bundle import Bundle
from .structure import Structure

if TYPE_CHECKING:
    from .step_view import StepView

# What does not change from step to step while weights are fixed.
FIXED = ("param", "const", "buffer")
LIVE = "live"


@define(slots=False)
class Recording:
    """Which values of a step have to be kept to differentiate it later.

    They are the old states, the inputs and the random words that new states depend on, and the
    means over a batch in between, through which no trace leads.
    """

    structure: Structure

    @cached_property
    def _news(self) -> dict[str, Value]:
        s = self.structure
        return {
            n: after for n, (_, after) in s.states.items()
            if n in s.influence.live and isinstance(after, Value)
        }  # fmt: skip

    @cached_property
    def nodes(self) -> list[Node]:
        """The nodes that new states are computed by, those aside that join the batch."""
        meetings = set(self.structure.influence.meetings)
        nodes = [n for n in self.structure.program.nodes if n not in meetings]
        return list(needed(nodes, self._news.values()))

    @cached_property
    def _used(self) -> set[Operand]:
        return {x for node in self.nodes for x in node.inputs} | set(self._news.values())

    @cached_property
    def fixed(self) -> dict[str, Value]:
        """Parameters and constants, by name."""
        ports = self.structure.program.inputs_of(*FIXED)
        return {p.name: p.value for p in ports if p.value in self._used}

    @cached_property
    def values(self) -> dict[str, Value]:
        """What is kept, by name."""
        ports = [p for p in self.structure.program.inputs if p.role.kind not in FIXED]
        found = {p.name: p.value for p in ports if p.value in self._used}
        for k, node in enumerate(self.structure.influence.meetings):
            if node.output in self._used:
                found[f"mean{k}"] = node.output
        return found

    def ring(self, length: int) -> dict[str, TensorType]:
        """Return the arrays that hold so many steps, and which of them have been."""
        found = {n: v.type.with_shape((length, *v.type.shape)) for n, v in self.values.items()}
        some = next(iter(self.structure.states.values()))[0].type
        return {LIVE: some.with_shape((length,)), **found}


def pushed(ring: Tracer, x: Tracer) -> Tracer:
    """Return a ring without its oldest entry and with a new one at the end."""
    n, *rest = ring.shape
    zero = [0] * len(rest)
    last = ops.reshape(x, (1, *rest))
    if n == 1:
        return last
    kept = ops.slice_(ring, (1, *zero), (n, *rest), [1] * ring.ndim)
    whole: Tracer = ops.concat([kept, last], 0)
    return whole


def record(step: StepView, ring: Mapping[str, Tracer]) -> Bundle:
    """Return the ring after a step."""
    now = {n: Tracer(step.pieces.builder, v) for n, v in step.recording.values.items()}
    one = ops.full(step.pieces.builder, (), 1.0, ring[LIVE].dtype)
    return Bundle({n: pushed(x, one if n == LIVE else now[n]) for n, x in ring.items()})


def back(
    step: StepView, ring: Mapping[str, Tracer], credit: Mapping[str, Tracer],
    fed: Mapping[str, Tracer] | None = None, where: Tracer | None = None,
) -> Bundle:  # fmt: skip
    r"""Return the gradients that credit gives on its way back over the steps of a ring.

    .. math::
        \delta^{t} = f^t + (J^{t+1})^\top\delta^{t+1}, \qquad g = \sum_t (F^t)^\top \delta^t

    with derivatives at the states that were met, and the parameters of now.

    Parameters
    ----------
    ring
        What `record` returned.
    credit
        Cotangents of the states after the last step of the ring, by path.
    fed
        Cotangents :math:`f` added after each step, (length, ...).
    where
        A condition: gradients are zero, and nothing is computed, where it does not hold.
    """
    b = step.pieces.builder
    if where is None:
        return _loop(step, _filled(step, ring), credit, fed or {}, step.recording.fixed, b)
    fork = Fork(b, where, ("back", "wait"))
    whole = {f"ring.{n}": x for n, x in _filled(step, ring).items()}
    whole |= {f"credit.{n}": x for n, x in credit.items()}
    whole |= {f"fed.{n}": x for n, x in (fed or {}).items()}
    whole |= {n: Tracer(b, v) for n, v in step.recording.fixed.items()}
    inside = {n: fork.add(x, x.type, n)[0] for n, x in whole.items()}

    def part(kind: str) -> dict[str, Tracer]:
        return {n.removeprefix(kind): x for n, x in inside.items() if n.startswith(kind)}

    fixed = {n: inside[n] for n in step.recording.fixed}
    found = _loop(step, part("ring."), part("credit."), part("fed."), fixed, fork.builders[0])
    results = fork.run([(x, None) for x in found.values()])
    return Bundle(dict(zip(found, results, strict=True)))


def _filled(step: StepView, ring: Mapping[str, Tracer]) -> dict[str, Tracer]:
    """Return the ring with this step in place of steps that have not been.

    No credit gets there, but their derivatives should be finite.
    """
    b = step.pieces.builder
    been = ops.lt(0.5, ring[LIVE])
    found = {LIVE: ring[LIVE]}
    for n, v in step.recording.values.items():
        x = ops.cast(ring[n], v.type.dtype) if ring[n].dtype is not v.type.dtype else ring[n]
        now = ops.broadcast(Tracer(b, v), x.shape, tuple(range(1, x.ndim)))
        found[n] = ops.select(ops.broadcast(been, x.shape, (0,)), x, now)
    return found


def _loop(
    step: StepView, ring: Mapping[str, Tracer], credit: Mapping[str, Tracer],
    fed: Mapping[str, Tracer], fixed: Mapping[str, Any], outer: Any,
) -> Bundle:  # fmt: skip
    s, recording = step.structure, step.recording
    length = ring[LIVE].shape[0]
    loop = Loop(outer, "past", length, reverse=True)
    inner = loop.builder
    env: dict[Operand, Operand] = {}
    for n, value in recording.fixed.items():
        given = fixed[n] if isinstance(fixed[n], Tracer) else Tracer(outer, fixed[n])
        env[value] = loop.add("const", given, value.type, n).value
    old = {n: s.states[n][0] for n in step.states}
    ports = {p.name: p.value for p in s.program.inputs_of("param") if p.name in step.params}
    delta = {n: loop.add("carry", credit.get(n, 0.0), v.type, f"d_{n}") for n, v in old.items()}
    total = {n: loop.add("carry", 0.0, v.type, f"g_{n}") for n, v in ports.items()}
    live = loop.add("slot", ring[LIVE], ring[LIVE].type.with_shape(()), LIVE)
    for n, value in recording.values.items():
        env[value] = loop.add("slot", ring[n], value.type, n).value
    arriving = {}
    for n, x in delta.items():
        if n in fed:
            x = ops.add(x, loop.add("slot", fed[n], x.type, f"f_{n}"))
        arriving[n] = ops.mul(ops.broadcast(live, x.shape, ()), x)
    copy_nodes(recording.nodes, inner, env)
    cotangents: dict[Value, Any] = {}
    for n, x in arriving.items():
        after = s.states[n][1]
        if isinstance(after, Value):
            cotangents[after] = ops.add(cotangents[after], x) if after in cotangents else x
    pulled = pullback(
        inner, recording.nodes, [*old.values(), *ports.values()], cotangents,
        detach=s.joints, env=env,
    )  # fmt: skip
    for n, v in old.items():
        loop.hand(delta[n], pulled.get(v, 0.0))
    keys = {
        n: loop.hand(x, ops.add(x, pulled[ports[n]]) if ports[n] in pulled else x)
        for n, x in total.items()
    }
    results = loop.run()
    return Bundle({n: results[key] for n, key in keys.items()})
