"""A learning rule of one's own: from its equation to a certificate, and to a trained network.

Credit over two time scales. Beside the trace of D-RTRL a slow one follows it, and the signal reads
both:

    e^t = D^t e^(t-1) + u^t x^t,   s^t = b s^(t-1) + (1 - b) e^t,   g^t = l^t (p e^t + (1 - p) s^t)

Run it, or have the rule checked, trained with or compared from the command line:

    python examples/own_rule.py
    etp check examples/own_rule.py:TwoTimescales
    etp train digits --rule "examples/own_rule.py:TwoTimescales(slow=0.8)"
    etp compare --rules "d_rtrl,examples/own_rule.py:TwoTimescales" --model lif --task evidence
"""

import numpy as np
from attrs import frozen

import etp
from etp.rules import PER_WEIGHT, TraceRule
from etp.study.certificate import certify


@frozen
class TwoTimescales(TraceRule):
    """D-RTRL with a slow trace beside the fast one."""

    slow: float = 0.9
    fast_part: float = 0.7

    name = "two_timescales"
    default_window = 0
    delayed = True  # what a step adds to s is handed out later
    traces = {"e": PER_WEIGHT, "s": PER_WEIGHT}

    def advance(self, rel, e):
        fast = rel.D @ e["e"] + rel.u * rel.x
        return {"e": fast, "s": self.slow * e["s"] + (1 - self.slow) * fast}

    def gradient(self, rel, e, ell):
        return self.fast_part * (ell @ e["e"]) + (1 - self.fast_part) * (ell @ e["s"])


def by_hand(w, a, xs, ys, rule):
    """Return the summed gradient of leaky units, h' = a h + x w, as the equation has it."""
    h, e, s, g = 0.0, 0.0, 0.0, 0.0
    for x, y in zip(xs, ys, strict=True):
        h = a * h + x @ w
        e = a * e + np.outer(x, np.ones_like(y))
        s = rule.slow * s + (1 - rule.slow) * e
        ell = 2 / y.size * (h - y)
        g = g + ell * (rule.fast_part * e + (1 - rule.fast_part) * s)
    return g


class Leaky(etp.Module):
    """Leaky units that do not feed one another."""

    def __init__(self, rng):
        self.w = etp.Param(rng.normal(size=(2, 3)))
        self.h = etp.State((3,))

    def __call__(self, x):
        self.h.value = 0.7 * self.h.value + etp.matmul(x, self.w)
        return self.h.value


def main():
    rng = np.random.default_rng(0)
    rule = TwoTimescales()

    # The equation, written again.
    model, xs, ys = Leaky(rng), rng.normal(size=(12, 1, 2)), rng.normal(size=(12, 1, 3))
    learner = etp.compile(model, rule, "mse", backend="numpy", dtype="float64")
    found = learner.grad(xs, ys, reduction="sum")[0]["w"]
    off = abs(found - by_hand(model.w.value, 0.7, xs[:, 0], ys[:, 0], rule)).max()
    print(f"off from the equation by {off:.0e}, where the gradient is up to {abs(found).max():.1f}")

    # What must hold of any rule, and where it stands to back-propagation.
    certificate = certify(rule, models=["leaky", "lif"], checks=["alive", "verdict", "schedules"],
                          with_costs=False)  # fmt: skip
    print(certificate)

    # Its traces, over time.
    seen = learner.record(xs, ys, traces=["w"])
    for slot in ("e", "s"):
        print(slot, "of w[0, 0]:", np.round(seen.traces["w"][slot][:6, 0, 0, 0], 2))
    return off, certificate


if __name__ == "__main__":
    main()
