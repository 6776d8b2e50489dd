"""A learner as pure functions, for use inside the user's own JAX transformations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import frozen

from etp_ir import ops
from etp_ir.builder import Builder
from etp_ir.core import Input, Program, Role
from etp_ir.errors import NotSupportedError, ShapeError, compose
from etp_ir.tracer import Tracer
from etp_ir.types import U32, TensorType, type_of

from .compiled import Compiled
from .compiler.boundary import MODULATOR
from .engine import Engine, missing_modulator, named, wrong_modulator
from .keys import Stretch, step_keys
from .place import placed
from .schedules.sequence import CARRIED

if TYPE_CHECKING:
    from .learner import Learner

Arrays = dict[str, Any]
# Entries of the carry beside states and traces; no path has a blank in it.
EXAMPLES, STEP = "random examples", "random step"


@frozen
class Functional:
    """Pure functions of one learner: nothing is kept between calls, and nothing is changed.

    Attributes
    ----------
    params
        The parameters of the learner when this was made.
    compiler_options
        What the programs of the learner are compiled with; XLA takes them from the outermost
        ``jit`` only.
    buffers
        The buffers of the learner when this was made, and what rule and learning signal keep for
        all examples; `init` puts them into the carry.
    seed
        That of the random numbers of model and rule.

    Examples
    --------
    The gradient of a sequence, inside a function of one's own::

        pure = learner.functional()

        def gradient(params, xs, ys):
            def step(carry, row):
                carry, grads, loss, output = pure.step(params, carry, *row)
                return carry, (grads, loss)

            _, (grads, losses) = jax.lax.scan(step, pure.init(xs.shape[1]), (xs, ys))
            return jax.tree.map(lambda g: g.mean(0), grads), losses.mean()

        gradient = jax.jit(gradient, compiler_options=pure.compiler_options)
    """

    params: Arrays
    compiler_options: dict[str, str]
    engine: Engine
    compiled: Compiled
    buffers: Arrays
    seed: int = 0

    @placed
    def init(self, batch_size: int, sequence: int = 0) -> Arrays:
        """Return the carry before the first step, by name: initial states, empty traces, buffers.

        Parameters
        ----------
        sequence
            Number of the sequence; random numbers differ from one to the next.
        """
        size = int(batch_size)
        carry = {**self.engine.stream(self.compiled, size), **self.buffers}
        if _online(self.engine, self.compiled, size).program.inputs_of("noise"):
            keys = Stretch(self.seed, int(sequence)).examples(size)
            carry[EXAMPLES] = self.engine.backend.asarray(keys)
            carry[STEP] = self.engine.backend.asarray(np.zeros((), np.uint32))
        return carry

    @placed
    def step(
        self, params: Mapping[str, Any], carry: Arrays, x: Any, y: Any, mask: Any = None,
        modulator: Any = None,
    ) -> tuple[Arrays, Arrays, Any, Any]:  # fmt: skip
        """Return the carry, the gradients, the loss and the output of one step of a batch.

        Parameters
        ----------
        params
            By dotted path, as in ``learner.params``.
        carry
            What `init` or the step before returned.
        x, y
            Input and target (B, ...).
        mask
            (B,): weight of each example's loss. Gradients and loss are means over the batch.
        modulator
            (), (B,) or (B, groups): for rules whose learning signal is given.

        Raises
        ------
        etp.ShapeError
            If types differ from those the learner was compiled for.
        etp.DataError
            If the rule asks for a modulator, and none is given.
        """
        engine, compiled = self.engine, self.compiled
        engine.hears(modulator)
        inputs, size = self._inputs(x, y)
        run = _online(engine, compiled, size)
        weights = np.ones(size) if mask is None else mask
        if np.shape(weights) != (size,):
            raise ShapeError(f"mask has shape {np.shape(weights)}; expected ({size},)")
        given: Arrays = {**compiled.loss.constants, **params, **carry}
        given.update({n: a[None] for n, a in inputs.items()})
        for port in run.program.inputs_of("weight"):
            given[port.name] = (weights / size)[None].astype(engine.dtype.numpy())
        if MODULATOR in run.program.input_names:
            given[MODULATOR] = self._modulator(modulator, run.program.input(MODULATOR).type.shape)
        if EXAMPLES in carry:
            ports = run.program.inputs_of("noise")
            keys: Any = engine.executable(("keys", size), compiled, lambda: _keys(ports, size))
            made = keys.function({n: carry[n] for n in (EXAMPLES, STEP)})
            given.update({n[6:-1]: a[None] for n, a in made.items() if n.startswith("value(")})
            carry = {**carry, STEP: made["state(step)"]}
        out = run.function({p.name: given[p.name] for p in run.program.inputs})
        moved = {
            p.name: out[f"{p.role.kind}({p.name})" if p.role.kind in CARRIED else str(p.role)]
            for p in run.program.inputs_of(*CARRIED, "trace")
        }
        grads = {n: out[f"grad({n})"] for n in params if f"grad({n})" in out}
        return {**carry, **moved}, grads, out["loss"], out["output"][0]

    def _modulator(self, given: Any, shape: tuple[int, ...]) -> Any:
        """Return the modulator of one step, spread over the batch."""
        if given is None:
            raise missing_modulator(self.engine.options.rule)
        if np.shape(given) not in ((), shape[1:]):
            raise wrong_modulator(np.shape(given), shape[1:])
        kind = self.engine.dtype.numpy()
        return (given * np.ones(shape, kind)).astype(kind)

    def _inputs(self, x: Any, y: Any) -> tuple[Arrays, int]:
        """Return input and target by name, and the batch size, if they are what was compiled."""
        program, given = self.compiled.loss.program, named(x)
        ports = [*program.inputs_of("input"), *program.inputs_of("target")]
        if len(given) != len(ports) - 1:
            raise ShapeError(f"the model takes {len(ports) - 1} inputs, got {len(given)}")
        arrays = dict(zip((p.name for p in ports), [*given.values(), y], strict=True))
        size = int(np.shape(y)[0]) if np.ndim(y) else 0
        for port in ports:
            shape = (size, *port.type.shape)
            found = type_of(arrays[port.name])
            if found.shape != shape or found.dtype.is_float is not port.type.dtype.is_float:
                raise ShapeError(
                    compose(f"{port.name} is {found}, expected {port.type.with_shape(shape)}",
                            how="pass one step (B, ...); for data of other types, compile the "
                                "learner for them first, with grad or example=")
                )  # fmt: skip
        return arrays, size


def _keys(ports: Sequence[Input], size: int) -> Program:
    """Return the program of the keys of one step, and of the number of the next one."""
    b = Builder("keys")
    examples = Tracer(b, b.input(EXAMPLES, TensorType(U32, (size, 2)), "noise"))
    step = Tracer(b, b.input(STEP, TensorType(U32), "state"))
    pairs: list[tuple[Any, Role]] = [(ops.add(step, 1).value, Role("state", ("step",)))]
    for port in ports:
        number = ops.broadcast(step, (size, 2), ())
        keys = step_keys(examples, port.role.of[0], number)
        pairs.append((keys.value, Role("value", (port.name,))))
    return b.finish(pairs)


def functional(learner: Learner) -> Functional:
    """Return a learner's pure functions, for the types of the data it met last.

    Raises
    ------
    NotSupportedError
        If its backend has no functions that can be transformed.
    """
    if learner.backend.name != "jax":
        raise NotSupportedError(
            f"functional() needs backend 'jax', this learner runs on {learner.backend.name!r}\n"
            "pass backend='jax' to etp.compile, or use learner.step"
        )
    compiled, _, size = learner.engine.last()
    options = _online(learner.engine, compiled, size).compiler_options
    return Functional(
        dict(learner.params), options, learner.engine, compiled,
        {**learner.buffers, **learner.rule_arrays}, learner.draws.seed,
    )  # fmt: skip


def _online(engine: Engine, compiled: Compiled, size: int) -> Any:
    return engine.executable(("online", size), compiled, lambda: compiled.online(size))
