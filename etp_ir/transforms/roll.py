"""Rolling a step over time: one program for a step becomes one program for a sequence.

The nodes of the step are sorted by what they depend on:

* nothing that varies in time: computed once;
* the sliced inputs only: computed for all steps at once, before;
* needed to hand a forward carry on: the body of a forward `scan`;
* needed to hand a backward carry on: the body of a reversed `scan`;
* the rest: computed for all steps at once, as soon as their operands exist.

So products that are not part of a recurrence become one large product over all steps, and a
sum over steps of ``contract {spec = "bi,bo->io"}`` becomes ``contract {spec = "tbi,tbo->io"}``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from attrs import define, field

from .. import ops
from ..builder import Builder
from ..core import Input, Literal, Node, Operand, Output, Program, Role, Value
from ..errors import IRError
from ..primitive import get
from ..tracer import Tracer, bind, copy_nodes, operand, replay
from .batch import batch_program
from .dataflow import needed, reached

_FIXED, _AHEAD, _FORWARD, _AFTER, _BACKWARD, _LAST = range(6)
_SUM = "sum of "


def roll(
    program: Program,
    length: int,
    *,
    forward: Mapping[str, str],
    backward: Mapping[str, str] | None = None,
    sliced: Collection[str] = (),
    total: Collection[str] = (),
    hoist: bool = True,
    name: str | None = None,
) -> Program:
    """Return the program for ``length`` steps.

    Parameters
    ----------
    program
        One step.
    length
        Number of steps.
    forward
        Input name to output key of the values handed from each step to the next.
    backward
        Input name to output key of the values handed from each step to the one before; the
        input holds what comes from later steps.
    sliced
        Names of the inputs that differ from step to step; they get a leading time axis. All
        inputs that are neither carried nor sliced are the same at every step.
    total
        Kinds of roles whose outputs are summed over steps. Outputs that are neither carried
        nor summed get a leading time axis.
    hoist
        Compute what is not part of a recurrence for all steps at once, in memory that grows
        with the number of steps. Otherwise every step is computed in the loop, and sums are
        carried.

    Returns
    -------
    Program
        Inputs of the same names: initial carries, sliced arrays, constants. Outputs of the same
        keys: final carries, sums, stacks.
    """
    if not hoist:
        if backward:
            raise IRError("backward carries need values of earlier steps: they must be hoisted")
        program, forward = _carry_sums(program, dict(forward), total)
    return _Roll(program, length, dict(forward), dict(backward or {}), set(sliced),
                 set(total) if hoist else set(), hoist, name or program.name).run()  # fmt: skip


def _carry_sums(
    program: Program, forward: dict[str, str], total: Collection[str]
) -> tuple[Program, dict[str, str]]:
    """Return the step with its summed outputs as carries that start from zero."""
    builder = Builder(program.name, share=True)
    given = [Tracer(builder, builder.input(p.name, p.type, p.role)) for p in program.inputs]
    results = replay(program, builder, given)
    pairs: list[Any] = []
    for out, result in zip(program.outputs, results, strict=True):
        if out.role.kind in total:
            name = f"{_SUM}{out.key}"
            held = Tracer(builder, builder.input(name, out.type, "carry"))
            result = ops.add(held, result)
            forward[name] = out.key
        pairs.append((operand(builder, result, out.type.dtype), out.role))
    return builder.finish(pairs), forward


@define
class _Roll:
    program: Program
    length: int
    forward: dict[str, str]
    backward: dict[str, str]
    sliced: set[str]
    total: set[str]
    hoist: bool
    name: str
    builder: Builder = field(init=False)
    fixed: dict[Value, Any] = field(init=False, factory=dict)
    stacked: dict[Value, Any] = field(init=False, factory=dict)

    def run(self) -> Program:
        program = self.program
        self.builder = Builder(self.name, share=True)
        initial: dict[str, Tracer] = {}
        for port in program.inputs:
            shape = port.type.shape
            varies = port.name in self.sliced
            type = port.type.with_shape((self.length, *shape)) if varies else port.type
            if port.name.startswith(_SUM):
                initial[port.name] = ops.full(self.builder, shape, 0, type.dtype)
                continue
            given = Tracer(self.builder, self.builder.input(port.name, type, port.role))
            if varies:
                self.stacked[port.value] = given
            elif port.name in self.forward or port.name in self.backward:
                initial[port.name] = given
            else:
                self.fixed[port.value] = given
        groups = self._classify()
        final: dict[str, Any] = {}
        for kind, nodes in enumerate(groups):
            wanted = self._wanted(kind, [n for later in groups[kind + 1 :] for n in later])
            if kind == _FIXED:
                self._once(nodes)
            elif kind == _FORWARD and self.forward:
                final.update(self._scan(nodes, self.forward, initial, wanted, reverse=False))
            elif kind == _BACKWARD and self.backward:
                final.update(self._scan(nodes, self.backward, initial, wanted, reverse=True))
            else:
                self._at_once(nodes, wanted)
        pairs = [(self._output(out, final), out.role) for out in program.outputs]
        return self.builder.finish(pairs)

    # -- sorting ----------------------------------------------------------------------------
    def _classify(self) -> list[list[Node]]:
        program = self.program
        ahead, after, last = (
            reached(program.nodes, [program.input(n).value for n in names])
            for names in (self.sliced, self.forward, self.backward)
        )
        needed_f, needed_b = (
            needed(program.nodes, [program.output(key).value for key in carried.values()])
            for carried in (self.forward, self.backward)
        )
        groups: list[list[Node]] = [[] for _ in range(6)]
        for node in program.nodes:
            if node in last:
                if node in needed_f:
                    raise IRError(f"a forward carry of @{program.name} depends on a backward one")
                kind = _BACKWARD if node in needed_b else _LAST
            elif not self.hoist and (node in after or node in ahead):
                kind = _FORWARD
            elif node in after:
                kind = _FORWARD if node in needed_f else _AFTER
            else:
                kind = _AHEAD if node in ahead else _FIXED
            groups[kind].append(node)
        return groups

    def _wanted(self, kind: int, later: Iterable[Node]) -> set[Value]:
        """Return the values that outputs, later nodes, and carries yet to be handed on read."""
        handed = set(self.forward.values()) if kind >= _FORWARD else set()
        handed |= set(self.backward.values()) if kind >= _BACKWARD else set()
        read = [out.value for out in self.program.outputs if out.key not in handed]
        read += [x for node in later for x in node.inputs]
        return {v for v in read if isinstance(v, Value)}

    # -- once -------------------------------------------------------------------------------
    def _once(self, nodes: Sequence[Node]) -> None:
        env: dict[Operand, Operand] = {v: t.value for v, t in self.fixed.items()}
        copy_nodes(nodes, self.builder, env)
        self.fixed = {
            v: Tracer(self.builder, x)
            for v, x in env.items()
            if isinstance(v, Value) and isinstance(x, Value)
        }

    # -- for all steps at once --------------------------------------------------------------
    def _at_once(self, nodes: Sequence[Node], wanted: set[Value]) -> None:
        made = {v for node in nodes for v in node.outputs}
        results = [v for node in nodes for v in node.outputs if v in wanted]
        if not results:
            return
        outer = [v for v in dict.fromkeys(x for n in nodes for x in n.inputs)
                 if isinstance(v, Value) and v not in made]  # fmt: skip
        part = Program(
            "part",
            tuple(Input(f"i{k}", Role("value"), v) for k, v in enumerate(outer)),
            tuple(nodes),
            tuple(Output(v, Role("value", (str(k),))) for k, v in enumerate(results)),
        )
        axes = {f"i{k}": 0 for k, v in enumerate(outer) if v in self.stacked}
        whole = batch_program(part, self.length, axes, force=range(len(results)))
        arguments = [self.stacked[v] if v in self.stacked else self.fixed[v] for v in outer]
        for value, tracer in zip(results, replay(whole, self.builder, arguments), strict=True):
            self.stacked[value] = tracer

    # -- step after step --------------------------------------------------------------------
    def _scan(
        self, nodes: Sequence[Node], carried: Mapping[str, str], initial: Mapping[str, Tracer],
        wanted: set[Value], reverse: bool,
    ) -> dict[str, Any]:  # fmt: skip
        program = self.program
        body = Builder("backward" if reverse else "forward", share=True)
        held = {program.input(n).value: n for n in carried}
        made = dict.fromkeys(v for node in nodes for v in node.outputs)
        returned = [program.output(key).value for key in carried.values()]
        used = [x for node in nodes for x in node.inputs] + returned
        outer = [
            v for v in dict.fromkeys(used)
            if isinstance(v, Value) and v not in made and v not in held
        ]  # fmt: skip
        fixed = [v for v in outer if v in self.fixed]
        slices = [v for v in outer if v in self.stacked]
        env: dict[Operand, Operand] = {}
        for k, v in enumerate(fixed):
            env[v] = body.input(v.hint or f"c{k}", v.type, "const")
        for v, n in held.items():
            env[v] = body.input(n, v.type, "carry")
        for k, v in enumerate(slices):
            env[v] = body.input(v.hint or f"x{k}", v.type, "slot")
        region_inputs = _unique(body.inputs)
        copy_nodes(nodes, body, env)
        kept = [v for v in (*held, *made) if v in wanted]
        pairs: list[Any] = [
            (env.get(v, v), Role("carry", (n,))) for v, n in zip(returned, carried, strict=True)
        ]
        pairs += [(env[v], Role("stack", (str(k),))) for k, v in enumerate(kept)]
        body.inputs = region_inputs
        region = body.finish(pairs)
        results = bind(
            get("scan"),
            *(self.fixed[v] for v in fixed), *(initial[n] for n in carried),
            *(self.stacked[v] for v in slices),
            body=region, length=self.length, consts=len(fixed), carries=len(carried),
            reverse=reverse,
        )  # fmt: skip
        results = results if isinstance(results, tuple) else (results,)
        self.stacked.update(zip(kept, results[len(carried) :], strict=True))
        return dict(zip(carried.values(), results, strict=False))

    # -- results ----------------------------------------------------------------------------
    def _output(self, out: Output, final: Mapping[str, Any]) -> Operand:
        if out.key in final:
            value: Operand = final[out.key].value
            return value
        summed = out.role.kind in self.total
        v = out.value
        if isinstance(v, Literal):
            whole = ops.full(self.builder, (self.length,), v.value, v.dtype)
            return (ops.reduce_sum(whole, (0,)) if summed else whole).value
        if v in self.stacked:
            x = self.stacked[v]
            return (ops.reduce_sum(x, (0,)) if summed else x).value
        x = self.fixed[v]
        if summed:
            return ops.mul(x, float(self.length)).value
        shape = (self.length, *x.shape)
        return ops.broadcast(x, shape, tuple(range(1, len(shape)))).value


def _unique(inputs: Sequence[Input]) -> list[Input]:
    """Return the inputs with repeated names numbered."""
    seen: dict[str, int] = {}
    renamed = []
    for port in inputs:
        k = seen.get(port.name, 0)
        seen[port.name] = k + 1
        renamed.append(port if k == 0 else Input(f"{port.name}.{k}", port.role, port.value))
    return renamed
