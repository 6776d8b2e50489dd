"""The whole influence matrix dh/dθ, for full real-time recurrent learning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from etp_ir import ops
from etp_ir.core import Input, Output, Program, Role, Value
from etp_ir.primitive import get
from etp_ir.tracer import Tracer, replay
from etp_ir.transforms.batch import batch_program
from etp_ir.transforms.linearize import linearize
from etp_ir.types import I32, TensorType

from ..compiler.pieces import Pieces
from ..compiler.structure import Structure
from .traces import TraceArray, cast


def influence_arrays(structure: Structure, dtype: Any) -> list[TraceArray]:
    """Return a matrix [parameter entries, *state] per parameter and state that it reaches."""
    arrays = []
    for port in structure.program.inputs_of("param"):
        for state in _touched(structure, port.value):
            shape = (port.type.size, *structure.states[state][0].type.shape)
            role = Role("trace", (port.name, state))
            type = TensorType(dtype, shape)
            arrays.append(TraceArray(f"M.{port.name}.{state}", role, type, None, port.name, state))
    return arrays


def _touched(structure: Structure, param: Value) -> list[str]:
    """Return the states that a parameter influences, now or at a later step."""
    leads = structure.dependence.leads
    found = {s for s, (_, new) in structure.states.items() if leads(param, new)}
    while True:
        more = {
            s for s, (_, new) in structure.states.items()
            if s not in found and any(leads(structure.states[a][0], new) for a in found)
        }  # fmt: skip
        if not more:
            return [s for s in structure.states if s in found]
        found |= more


def advance_influence(
    p: Pieces, arrays: list[TraceArray], held: Mapping[str, Tracer]
) -> dict[str, Tracer]:
    """Return ``M' = J M + dh'/dθ``, all columns pushed through the step at once."""
    s = p.structure
    out: dict[str, Tracer] = {}
    for port in s.program.inputs_of("param"):
        mine = {a.state: a for a in arrays if a.slot == port.name}
        if not mine:
            continue
        old = {n: s.states[n][0] for n in mine if n is not None}
        new = {n: s.states[n][1] for n in mine if n is not None}
        linear = linearize(
            p.builder, s.program.nodes, [*old.values(), port.value], list(new.values())
        )
        columns = port.type.size
        seeds = list(linear.seeds.values())
        made = {v for node in linear.nodes for v in node.outputs} | set(seeds)
        outer = [v for v in dict.fromkeys(x for n in linear.nodes for x in n.inputs)
                 if isinstance(v, Value) and v not in made]  # fmt: skip
        results = [(n, linear.tangents.get(v)) for n, v in new.items() if isinstance(v, Value)]
        part = Program(
            "columns",
            tuple(Input(f"i{k}", Role("value"), v) for k, v in enumerate([*seeds, *outer])),
            linear.nodes,
            tuple(Output(t, Role("value", (n,))) for n, t in results if t is not None),
        )
        whole = batch_program(
            part, columns, {f"i{k}": 0 for k in range(len(seeds))}, force=range(len(part.outputs))
        )
        tangents = [cast(held[mine[n].name], v.type.dtype) for n, v in old.items()]
        tangents.append(_one_hot(p, port.type))
        moved = replay(whole, p.builder, [*tangents, *(p.tracer(v) for v in outer)])
        named = dict(zip((n for n, t in results if t is not None), moved, strict=True))
        for n, a in mine.items():
            x = named.get(n or "")
            x = ops.full(p.builder, a.type.shape, 0.0, a.type.dtype) if x is None else x
            out[a.name] = cast(x, a.type.dtype)
    return out


def _one_hot(p: Pieces, type: TensorType) -> Tracer:
    """Return the unit tangents of a parameter, one per entry."""
    n = type.size
    shape = (n, n)

    def iota(axis: int) -> Tracer:
        attrs = {"shape": shape, "axis": axis, "dtype": I32}
        return Tracer(p.builder, p.builder.emit(get("iota"), [], attrs)[0])

    unit = ops.cast(ops.eq(iota(0), iota(1)), type.dtype)
    return ops.reshape(unit, (n, *type.shape))


def read_influence(
    arrays: list[TraceArray], held: Mapping[str, Tracer], arriving: Mapping[str, Tracer],
    grads: Any, types: Mapping[str, TensorType],
) -> None:  # fmt: skip
    """Add the signals on old states contracted with their influence matrices."""
    for a in arrays:
        signal = arriving.get(a.state or "")
        if signal is None:
            continue
        letters = "abcdefghij"[: signal.ndim]
        M = cast(held[a.name], signal.dtype)
        found = ops.contract(signal, M, f"{letters},z{letters}->z")
        grads.add(a.slot, ops.reshape(found, types[a.slot].shape))
