r"""Eligibility traces of reward: how gradients of past steps are kept, fading by $\gamma\lambda$.

They stand over the traces of the learning rule: a rule says how weights act on the prediction
of *one* step, through all steps before; a reward trace says which predictions a later TD error
is to be blamed on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from etp_ir import namespace as xp
from etp_ir.errors import ModelError, nearest

Arrays = Mapping[str, Any]
Trace = Callable[[Arrays, Arrays, Mapping[str, float], Any], dict[str, Any]]


def total(terms: Mapping[str, Any]) -> Any:
    """Return the sum of all elements of all arrays."""
    sums = [xp.sum(x) for x in terms.values()]
    found = sums[0]
    for x in sums[1:]:
        found = xp.add(found, x)
    return found


def accumulating(z: Arrays, g: Arrays, decay: Mapping[str, float], rate: Any) -> dict[str, Any]:
    r"""Return $\gamma\lambda z + g$ (Sutton 1988)."""
    return {n: decay[n] * z[n] + g[n] for n in g}


def replacing(z: Arrays, g: Arrays, decay: Mapping[str, float], rate: Any) -> dict[str, Any]:
    r"""Return $g$ where it is not zero, and $\gamma\lambda z$ elsewhere (Singh & Sutton 1996)."""
    return {n: xp.where(xp.not_equal(g[n], 0.0), g[n], decay[n] * z[n]) for n in g}


def dutch(z: Arrays, g: Arrays, decay: Mapping[str, float], rate: Any) -> dict[str, Any]:
    r"""Return $\gamma\lambda z + (1 - \alpha\gamma\lambda\, z^\top g)\, g$ (van Seijen 2016)."""
    faded = {n: decay[n] * z[n] for n in g}
    fresh = 1.0 - rate * total({n: faded[n] * g[n] for n in g})
    return {n: faded[n] + fresh * g[n] for n in g}


TRACES: dict[str, Trace] = {
    "accumulating": accumulating, "replacing": replacing, "dutch": dutch,
}  # fmt: skip


def trace_named(name: str, allowed: tuple[str, ...] = tuple(TRACES)) -> Trace:
    """Return the trace of a name.

    Raises
    ------
    etp.ModelError
        If there is none, or it is not among those allowed.
    """
    if name not in allowed:
        raise ModelError(f"no trace {name!r} here{nearest(str(name), list(allowed))}")
    return TRACES[name]
