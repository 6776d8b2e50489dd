"""The contenders: who takes part, in which setting, and which estimator each one claims."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..cases import Arrays

# Also avoids a CPU code path of XLA that is slow, and on jaxlib 0.10.2 wrong, for some reductions.
NO_YNN = "--xla_cpu_experimental_ynn_fusion_type="


class Prepared(NamedTuple):
    """A contender ready to run: ``run`` returns when the result is there."""

    run: Callable[[], Any]
    grads: Callable[[Any], Arrays]


@dataclass(frozen=True)
class Contender:
    """One setting of one system.

    ``module`` names a module of this package with
    ``prepare(case, params, xs, ys, **options) -> Prepared``; it is imported in the contender's own
    process only. ``requires`` names the package whose interpreter has to be used. ``faults`` says,
    by model, why the gradient is known not to be the estimator's; it is timed all the same.
    ``freezes`` tells that parameters without a trace are known to get a zero gradient.
    """

    name: str
    module: str
    estimator: str
    about: str
    options: Mapping[str, Any] = field(default_factory=dict)
    xla_flags: str = ""
    requires: str = "jax"
    faults: Mapping[str, str] = field(default_factory=dict)
    freezes: bool = False


def _braintrace(name: str, about: str, **changes: Any) -> Contender:
    fields: dict[str, Any] = {
        "module": "peer_braintrace", "requires": "braintrace", "estimator": "window0",
        "freezes": True, "faults": {"lif": "the path i' -> v' inside the step counts twice"},
    }  # fmt: skip
    return Contender(name=name, about=about, **(fields | changes))


def _etp(backend: str, window: int) -> Contender:
    return Contender(
        f"etp-{backend}-w{window}", "etp_learner", f"window{window}",
        f"etp, {backend} backend, window = {window}, schedule = auto",
        {"backend": backend, "window": window}, requires="etp",
    )  # fmt: skip


CONTENDERS: dict[str, Contender] = {c.name: c for c in (
    Contender("bptt", "jax_bptt", "bptt", "plain JAX: lax.scan + jax.grad, input product hoisted"),
    Contender("bptt-hoisted", "jax_bptt", "bptt",
              "the same, weight gradients hoisted out of the backward scan", {"hoist": True}),
    Contender("chunk-w0", "jax_chunk", "window0", "hand-written chunk form in plain JAX, window 0",
              {"window": 0}),
    Contender("chunk-w1", "jax_chunk", "window1", "hand-written chunk form in plain JAX, window 1",
              {"window": 1}),
    _braintrace("braintrace", "compile() + etrace_grad in jit, batch axis native"),
    _braintrace("braintrace-fast", "the same with vmap=True and " + NO_YNN,
                options={"vmap": True}, xla_flags=NO_YNN),
    _braintrace("braintrace-multistep", "vmap=True, vjp_method='multi-step', and " + NO_YNN,
                options={"vmap": True, "vjp_method": "multi-step"}, xla_flags=NO_YNN,
                estimator="window1", freezes=False,
                faults={"lif": "bias correction of the trace counts one step too many"}),
    _etp("jax", 0), _etp("jax", 1), _etp("numpy", 0), _etp("numpy", 1),
)}  # fmt: skip
