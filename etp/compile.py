"""The entry point: a model, a rule and a backend become a learner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from etp_ir.backend import Backend
from etp_ir.errors import ModelError, NotSupportedError, compose
from etp_ir.types import DType, dtype_of

from . import backends, losses, rules
from .compiled import Options
from .compiler.scope import parse_scope, parse_tail
from .fit import adopt
from .learner import Learner
from .model import Module
from .place import placed
from .schedules.planner import parse_schedule
from .sequences import DataError, as_count


@placed
def compile(
    model: Module, rule: str | rules.LearningRule | type[rules.LearningRule] = "d_rtrl",
    loss: str | Callable[[Any, Any], Any] = "softmax_cross_entropy", *,
    backend: str | Backend = "auto", batch_size: int = 1, window: int | None = None,
    scope: str | None = None, tail: str = "diagonal", schedule: str | int = "auto",
    trace_dtype: DType | str | None = None,
    dtype: DType | str = "float32", example: tuple[Any, Any] | None = None, length: int = 1,
    check: bool = False, seed: int = 0,
) -> Learner:  # fmt: skip
    """Return a learner for a model; the model itself is never changed.

    Parameters
    ----------
    model
        An `etp.Module` whose ``__call__`` computes one step of one example.
    rule
        Name of a learning rule (`etp.rules.available`), a rule object, or a rule class.
    loss
        Name of a loss (`etp.losses.available`), or a function ``(output, target) -> scalar`` of
        one example, written on `etp.xp`.
    backend
        ``"numpy"``, ``"jax"``, ``"cupy"``, ``"auto"`` (JAX where it is installed), or an object.
    batch_size
        Examples per batch that reports speak of; any other batch size works too.
    window
        Steps at the end of the past that are differentiated exactly: 0 is the textbook
        contraction of signal and trace, 1 also follows one exact hop. By default what the rule
        recommends.
    scope
        How much of the influence of weights on later states the rule follows: ``"diagonal"``
        (position by position, weight products cut out of the transition), ``"coupled"``
        (position by position, weight products left in), ``"sparse_n(N)"`` (what can be reached
        in N - 1 further steps), ``"group"`` (everything within a hidden group, nothing from one to
        another), ``"layered"`` (everything but feedback from later groups to
        earlier ones) or ``"full"``. By default what the rule recommends.
    tail
        What happens where positions mix on the way from a weight to a state (normalisation,
        softmax, another product): ``"diagonal"`` cuts there and says so, ``"exact"`` keeps the
        influence on every position.
    schedule
        ``"auto"``, ``"step"``, ``"chunk"`` or ``"chunk(K)"``: how the same numbers are computed.
    trace_dtype
        Element type in which traces are kept, for example ``"bfloat16"``.
    dtype
        Element type of everything else.
    example, length
        One step of one example ``(x, y)``, and a sequence length, for a report before data.
    check
        Look for NaN and infinity in all data, and name the place.
    seed
        What the random numbers of the model depend on (`etp.random`, dropout).

    Raises
    ------
    etp.ETPError
        If a name is unknown or the rule does not admit the schedule.
    """
    if not isinstance(model, Module):
        raise ModelError(
            compose(f"a model must be an etp.Module, got {_kind(model)}",
                    how="write `class Net(etp.Module)` with __init__ and __call__(self, x), and "
                        "pass an instance")
        )  # fmt: skip
    given = rules.resolve(rule)
    chosen = given.compiled_as()
    if window is None:
        window = given.default_window
    window = as_count(window, "window", least=0)
    batch_size = as_count(batch_size, "batch_size")
    parse_schedule(schedule)
    schedule = given.default_schedule if schedule == "auto" else schedule
    stored = None if trace_dtype is None else _float(trace_dtype, "trace_dtype")
    runner = backends.get(backend)
    for kind_of in (dtype, trace_dtype):
        if kind_of is not None and dtype_of(kind_of).name in runner.lacks:
            raise NotSupportedError(
                f"backend {runner.name!r} has no {dtype_of(kind_of).array_name}\n"
                "choose 'float16', or backend 'jax'"
            )
    followed = parse_scope(scope, given.default_scope)
    tail = parse_tail(tail)
    if not isinstance(chosen, rules.OnlineRule) and (followed.name != "full" or tail != "diagonal"):
        raise NotSupportedError(
            f"{chosen.name} keeps no traces: scope and tail have no meaning\n"
            "leave them out, or choose an online rule"
        )
    if isinstance(chosen, rules.StepRule) and scope is not None and followed.name != "full":
        raise NotSupportedError(
            f"{chosen.name} follows all states at once: scope {scope!r} has no meaning\n"
            "leave it out, or choose a rule that keeps traces of each weight"
        )
    chosen.signal.check(losses.get(loss), window)
    options = Options(chosen, window, schedule, stored, followed, tail)
    learner = Learner(
        model, options=options, loss=loss, backend=runner, batch_size=batch_size,
        dtype=_float(dtype, "dtype"), check=check, seed=as_count(seed, "seed", least=0),
    )  # fmt: skip
    if given.step_size is not None:
        adopt(learner, given.step_size)
    if example is not None:
        if not isinstance(example, (tuple, list)) or len(example) != 2:
            raise DataError("example must be (x, y): one step of one example")
        learner.specialise(*example, length=length)
    return learner


def _kind(model: object) -> str:
    return f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__


def _float(spec: DType | str, what: str) -> DType:
    dtype = dtype_of(spec)
    if not dtype.is_float:
        raise NotSupportedError(f"{what} {spec!r} is no floating-point type")
    return dtype
