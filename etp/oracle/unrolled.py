"""Back-propagation through time by unrolling: no loop, no schedule, one example after another."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from etp_ir import ops
from etp_ir.builder import Builder
from etp_ir.core import Program, Role
from etp_ir.interpreter import evaluate
from etp_ir.tracer import Tracer, operand, replay
from etp_ir.transforms.vjp import vjp

Array = np.ndarray[Any, Any]
SLICED = ("input", "target", "noise")


def unroll(program: Program, length: int, sliced: Collection[str] = SLICED) -> Program:
    """Return the weighted loss of ``length`` steps of one example as a straight-line program.

    Parameters
    ----------
    program
        A step with its loss: roles ``input``, ``target``, ``noise``, ``param``, ``const``,
        ``state``.
    sliced
        Roles of the inputs that each step has of its own.

    Returns
    -------
    Program
        Inputs of each step are called ``name@t``, and ``loss_weight@t``; output ``loss``.
    """
    b = Builder(f"{program.name}.unrolled", share=True)
    fixed: dict[str, Any] = {}
    for port in program.inputs:
        if port.role.kind not in sliced:
            fixed[port.name] = Tracer(b, b.input(port.name, port.type, port.role))
    total: Any = None
    for t in range(length):
        given = dict(fixed)
        for port in program.inputs_of(*sliced):
            given[port.name] = Tracer(b, b.input(f"{port.name}@{t}", port.type, port.role))
        seed = Tracer(b, b.input(f"loss_weight@{t}", program.output("loss").type, "weight"))
        results = replay(program, b, [given[p.name] for p in program.inputs])
        for out, result in zip(program.outputs, results, strict=True):
            if out.role.kind == "state":
                fixed[out.role.of[0]] = result
            elif out.role.kind == "loss":
                term = ops.mul(seed, result)
                total = term if total is None else ops.add(total, term)
    return b.finish([(operand(b, total), Role("loss"))])


def unrolled_loss(
    program: Program, arrays: Mapping[str, Array], sequences: Mapping[str, Array], weights: Array
) -> float:
    """Return the weighted loss of a batch of sequences.

    Parameters
    ----------
    arrays
        Parameters, constants, and initial states of one example, by input name.
    sequences
        Inputs, targets and keys of random numbers (T, B, ...), by input name.
    weights
        Weight of each step's loss, (T, B).
    """
    whole = unroll(program, len(weights))
    return float(sum(
        evaluate(whole, _one(whole, arrays, sequences, weights, i))["loss"]
        for i in range(weights.shape[1])
    ))  # fmt: skip


def unrolled_gradient(
    program: Program, arrays: Mapping[str, Array], sequences: Mapping[str, Array], weights: Array
) -> dict[str, Array]:
    """Return the exact gradient of `unrolled_loss` with respect to every parameter."""
    names = [p.name for p in program.inputs_of("param")]
    derivative = vjp(unroll(program, len(weights)), names)
    total: dict[str, Array] = {}
    for i in range(weights.shape[1]):
        given = _one(derivative, arrays, sequences, weights, i)
        given["ct_0"] = np.ones(())
        found = evaluate(derivative, given)
        for name in names:
            total[name] = total.get(name, 0) + found[f"grad({name})"]
    return total


def unrolled_shares(
    program: Program, arrays: Mapping[str, Array], sequences: Mapping[str, Array], weights: Array
) -> dict[str, Array]:
    r"""Return the exact gradient of `unrolled_loss`, taken apart by the step of the weights' use.

    Every step is given parameters of its own, :math:`\theta_1, \dots, \theta_T`, all of the same
    value; the entries are :math:`\partial L/\partial\theta_t`, whose sum is the gradient.

    Returns
    -------
    dict
        (T, ...) by parameter, summed over the batch.
    """
    params = [p.name for p in program.inputs_of("param")]
    length, size = weights.shape
    whole = unroll(program, length, (*SLICED, "param"))
    names = [p.name for p in whole.inputs_of("param")]
    derivative = vjp(whole, names)
    copies = {
        n: np.broadcast_to(arrays[n], (length, size, *np.shape(arrays[n]))) for n in params
    }  # fmt: skip
    total: dict[str, Array] = {}
    for i in range(size):
        given = _one(derivative, arrays, {**sequences, **copies}, weights, i)
        found = evaluate(derivative, {**given, "ct_0": np.ones(())})
        for name in params:
            share = np.stack([found[f"grad({name}@{t})"] for t in range(length)])
            total[name] = total.get(name, 0) + share
    return total


def _one(
    program: Program, arrays: Mapping[str, Array], sequences: Mapping[str, Array],
    weights: Array, example: int,
) -> dict[str, Array]:  # fmt: skip
    given: dict[str, Array] = {}
    for port in program.inputs:
        name, at, t = port.name.rpartition("@")
        if not at:
            if port.name in arrays:
                given[port.name] = arrays[port.name]
        elif name == "loss_weight":
            given[port.name] = weights[int(t), example]
        else:
            given[port.name] = sequences[name][int(t), example]
    return given
