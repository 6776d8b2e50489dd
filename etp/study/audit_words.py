"""Why a parameter gets the credit that it gets, in words."""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan

from ..compiler.status import EXACT, UNREACHABLE
from .alignment import Alignment

SAME = 1e-8
# Credit below which a share of the gradient counts as lost, and below which it is little.
LOST, LITTLE = 0.05, 0.5


def in_words(
    status: str, reason: str, a: Alignment, whole: float, lags: Mapping[int, Alignment]
) -> str:
    """Return what a parameter's gradient is, and why, in a sentence or two.

    Parameters
    ----------
    whole
        Norm of BPTT's gradient of all parameters.
    lags
        The parameter's credit by lag.
    """
    if status == UNREACHABLE:
        return f"no gradient: {reason}"
    if a.reference <= 1e-9 * whole:
        return f"{status}: BPTT gives it nothing either on these data"
    parts = [_amount(status, reason, a)]
    if status != EXACT:
        parts += filter(None, [_reach(lags)])
    if a.reference < 0.01 * whole:
        parts.append(f"BPTT gives it little, too: {a.reference / whole:.1%} of the whole gradient")
    return "; ".join(parts)


def _amount(status: str, reason: str, a: Alignment) -> str:
    if status == EXACT and a.deviation < SAME:
        return f"exact: {reason}"
    if status == EXACT:
        return f"called exact ({reason}), but off by {a.deviation:.1%}"
    if a.norm == 0:
        return f"no credit: {reason}"
    credit = a.ratio * a.cosine
    kind = status
    if credit < LITTLE:
        kind = "little credit" if a.ratio < LITTLE else "misdirected"
    return (
        f"{kind}: {percent(a.ratio)} of BPTT's norm, cosine {a.cosine:.2f}, because {reason}"
    )  # fmt: skip


def _reach(lags: Mapping[int, Alignment]) -> str:
    """Return how many steps back credit reaches."""
    seen = {k: a for k, a in sorted(lags.items()) if a.reference > 0}
    if not seen:
        return ""
    arriving = {k: (a.ratio * a.cosine if a.norm else 0.0) for k, a in seen.items()}
    whole = [k for k, c in arriving.items() if abs(seen[k].deviation) < SAME]
    lost = [k for k, c in arriving.items() if isnan(c) or c < LOST]
    text = []
    if whole == list(seen):
        return "of a loss at the last step all is there"
    first = [k for k in whole if all(j in whole for j in seen if j <= k)]
    if first:
        text.append("whole for a use in the step of the loss" if first[-1] == 0 else
                    f"whole up to {steps(first[-1])} back")  # fmt: skip
    after = [k for k in lost if all(j in lost for j in seen if j >= k)]
    if after:
        text.append(
            f"nothing from {steps(after[0])} back on" if after[0] else
            "of a loss at the last step nothing"
        )  # fmt: skip
    else:
        last = max(seen)
        text.append(f"{percent(arriving[last])} of the credit {steps(last)} back")
    return ", ".join(text)


def steps(n: int) -> str:
    """Return a number of steps in words."""
    return "one step" if n == 1 else f"{n} steps"


def percent(x: float) -> str:
    """Return a ratio as percent, in two digits or so."""
    return f"{x:.0%}" if abs(x) >= 0.1 else f"{x:.1%}" if abs(x) >= 0.001 else f"{x:.0e}"
