"""Rules side by side on spiking neurons: curves, alignment, costs, and a table for a paper.

All rules start from the same weights and see the same data. What comes out is printed, drawn into
`compare_rules.png`, and written as JSON and as a LaTeX table that fits a column.

    python examples/compare_rules.py            # two seeds of 60 updates: a minute or so
    python examples/compare_rules.py 5 400      # five seeds of 400
"""

import sys
from pathlib import Path

import numpy as np

import etp
from etp.study.compare import Contender, compare
from etp.tasks import load

# A label, a rule as `etp.compile` takes it, and options for it alone.
RULES = [
    "bptt",
    Contender("d_rtrl", "d_rtrl"),
    Contender("e-prop, symmetric", etp.EProp(kappa=0.8)),
    Contender("e-prop, random", etp.EProp(kappa=0.8, feedback="random")),
    Contender("OTTT", etp.OTTT(leak=0.9)),
    Contender("pp-prop of rank 4", "pp_prop(decay=4)"),
]


def network(task):
    """Return a function of a seed that makes one and the same network for the task."""

    def build(seed):
        rng = np.random.default_rng(seed)
        return etp.nn.Sequential(
            etp.nn.LIFCell(task.n_in, 24, rng=rng),
            etp.nn.LeakyRateReadout(24, task.n_out, rng=rng),
        )

    return build


def main(seeds=2, updates=60, points=5):
    task = load("evidence")
    found = compare(RULES, network(task), task, seeds=seeds, updates=updates, points=points)
    found.print()
    found.plot("compare_rules.png")
    Path("compare_rules.json").write_text(found.to_json())
    Path("compare_rules.tex").write_text(found.to_latex())
    return found


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
