"""Credit by back-propagation through time, and the synthesiser that predicts it best."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from etp_ir.core import Role
from etp_ir.errors import ModelError
from etp_ir.interpreter import evaluate
from etp_ir.tracer import Tracer
from etp_ir.transforms.batch import batch_program

from ..given import mistake
from ..sequences import DataError
from .bootstrapped import _joined, _live, inputs

if TYPE_CHECKING:
    from etp_ir.core import Program

    from ..compiler.structure import Structure
    from ..learner import Learner

Array = np.ndarray[Any, Any]
FIXED = ("param", "const", "buffer")


def fitted(learner: Learner, xs: Any, ys: Any, mask: Any, ridge: float) -> Array:
    """Return the matrix from inputs to credit of least squares, see `SyntheticGradient.fit`."""
    a, credit = samples(learner, xs, ys, mask)
    if not (np.isfinite(a).all() and np.isfinite(credit).all()):
        raise mistake(
            DataError, "states or credit are not finite on these data: no synthesiser is fitted",
            "look for NaN in xs and ys, and for states that grow without bound",
        )  # fmt: skip
    gram = a.T @ a
    gram += ridge * np.trace(gram) / len(gram) * np.eye(len(gram))
    return np.linalg.solve(gram, a.T @ credit).T


def samples(learner: Learner, xs: Any, ys: Any, mask: Any = None) -> tuple[Array, Array]:
    """Return inputs of the synthesiser and credit, (T * B, ...), each over the states as one."""
    batch = learner.engine.batch(xs, ys, mask)
    compiled = learner.engine.compile(batch)
    structure = compiled.structure
    program = credit_step(structure)
    axes = {p.name: 0 for p in program.inputs if p.role.kind not in FIXED}
    step = batch_program(program, batch.size, axes, force=range(len(program.outputs)))
    held = {n: np.asarray(learner.backend.to_numpy(x)) for n, x in learner.held.items()}
    arrays = {**compiled.step.states, **compiled.loss.constants, **held}
    given: dict[str, Any] = {}
    for port in program.inputs:
        if port.role.kind in FIXED:
            given[port.name] = np.asarray(arrays[port.name], port.type.dtype.numpy())
    states: dict[str, Any] = {}
    for port in program.inputs_of("state"):
        start = np.asarray(arrays.get(port.name, 0), port.type.dtype.numpy())
        states[port.name] = np.broadcast_to(start, (batch.size, *port.type.shape))
    sequences = dict(zip(compiled.step.inputs, batch.xs.values(), strict=True))
    draw, _ = learner.draws.sequence()
    for port in program.inputs:
        if port.role.kind == "target":
            sequences[port.name] = batch.ys
        elif port.role.kind == "noise":
            sequences[port.name] = draw.keys(port.role.of[0], batch.length, batch.size)
    zero = {
        p.name: np.zeros((batch.size, *p.type.shape), p.type.dtype.numpy())
        for p in program.inputs_of("signal")
    }
    weights = np.asarray(batch.mask) / batch.size
    met = []
    for t in range(batch.length):
        now = {n: np.asarray(x[t]) for n, x in sequences.items()}
        kinds = {p.name: p.type.dtype.numpy() for p in program.inputs}
        now = {n: x.astype(kinds[n]) for n, x in now.items()}
        met.append(
            {**given, **now, **states, "loss_weight": weights[t].astype(kinds["loss_weight"])}
        )
        out = evaluate(step, {**met[-1], **zero})
        states = {n: out[f"state({n})"] for n in states}
    rows, credits, later = [], [], zero
    for here in reversed(met):
        out = evaluate(step, {**here, **later})
        ahead = [later[f"later.{n}"].reshape(batch.size, -1) for n in _live(structure)]
        rows.append(out["output(inputs)"])
        credits.append(out["output(credit)"] + np.concatenate(ahead, axis=1))
        later = {n: out[f"signal({n.removeprefix('later.')})"] for n in zero}
    return np.concatenate(rows), np.concatenate(credits)


def credit_step(structure: Structure) -> Program:
    """Return the step that hands credit on: from new states, ``later.h``, to old ones.

    Raises
    ------
    etp.ModelError
        If examples meet within the model.
    """
    from ..compiler.boundary import Boundary
    from ..compiler.pieces import Pieces

    if structure.joints:
        raise ModelError(
            "a synthesiser is fitted to one example beside the other, and here they meet\n"
            "train it online: etp.SyntheticGradient()"
        )
    p = Pieces(structure, "credit")
    b, live = p.builder, _live(structure)
    loss = structure.program.output("loss").type
    seed = Tracer(b, b.input("loss_weight", loss, "weight"))
    later = {
        n: Tracer(b, b.input(f"later.{n}", structure.states[n][0].type, Role("signal", (n,))))
        for n in live
    }
    at = Boundary(p, seed, tuple(live))
    new, _ = at.pull()
    back = p.signals(seed, later=later).states
    results: list[Any] = [
        (o.value, o.role) for o in structure.program.outputs if o.role.kind == "state"
    ]
    results += [(inputs(at).value, Role("output", ("inputs",)))]
    results += [(_joined(at, new).value, Role("output", ("credit",)))]
    for n in live:
        x = back[n] if n in back else at.zeros(structure.states[n][0])
        results.append((x.value, Role("signal", (n,))))
    return b.finish(results)
