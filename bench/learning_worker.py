"""One rule on some tasks: a line of JSON for each, printed as soon as it is known."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from typing import Any

from attrs import asdict

from etp import tasks
from etp.study.compare import compare
from etp.study.compare_result import Comparison, RuleResult
from etp.study.compare_training import Contender

from .learning_homes import HOMES, SPELLED

POINTS = 9


def main(arguments: Sequence[str]) -> None:
    work = json.loads(arguments[0])
    for name in work["tasks"]:
        print(json.dumps(cell(work, tasks.load(name))), flush=True)


def cell(work: dict[str, Any], task: tasks.Task) -> dict[str, Any]:
    """Train one rule on one task, in the first of its homes that it does not refuse."""
    refusals = {}
    for home in work["homes"]:
        row = {"rule": work["rule"], "task": task.name, "home": home}
        began = time.monotonic()
        try:
            found = train(work, task, home, began)
        except Exception as error:  # a fault of the rule is a row of the table
            return {**row, "problem": f"{type(error).__name__}: {_line(error)}"}
        (result,) = found.rules
        if result.refused is None:
            return {**row, "refused_by": refusals, **figures(found, result, began)}
        refusals[home] = result.refused
    first = next(iter(refusals))
    return {**row, "home": first, "refused_by": refusals, "problem": refusals[first]}


def train(work: dict[str, Any], task: tasks.Task, home: str, began: float) -> Comparison:
    chosen = HOMES[home]

    def late(*_: Any) -> bool:
        return time.monotonic() - began > work["limit_s"]

    def build(seed: int) -> Any:
        return chosen.build(task, seed)

    rule = Contender(work["rule"], SPELLED.get(work["rule"], work["rule"]))
    return compare(
        [rule], build, task, seeds=work["seeds"], updates=work["updates"], points=POINTS,
        lr=chosen.lr, watch=late,
    )  # fmt: skip


def figures(found: Comparison, result: RuleResult, began: float) -> dict[str, Any]:
    """Return what the table and whoever looks closer need."""
    aligned = {
        "cosine_first": result.aligned("cosine", 0), "cosine": result.aligned("cosine"),
        "ratio_first": result.aligned("ratio", 0), "ratio": result.aligned("ratio"),
        "deviation_first": result.aligned("deviation", 0),
    }  # fmt: skip
    curves = {str(u): result.metric("loss", u) for u in found.updates}
    plain: dict[str, Any] = {
        "final": {name: asdict(result.final(name)) for name in found.chance},
        "aligned": {name: asdict(mean) for name, mean in aligned.items()},
        "curve": {u: [mean.mean, mean.spread] for u, mean in curves.items()},
        "chance": found.chance,
        "cost": asdict(result.cost) if result.cost else None,
        "cut_short": found.interrupted,
        "stopped": result.stopped,
        "seconds": time.monotonic() - began,
    }
    return json.loads(json.dumps(plain), parse_float=_short, parse_constant=lambda _: None)


def _short(text: str) -> float:
    return float(f"{float(text):.6g}")


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0]


if __name__ == "__main__":
    main(sys.argv[1:])
