"""One contender on the sparse layer, in a process of its own; prints one line of JSON.

``python -m bench.sparse_worker etp-numpy 20000 train``
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import statistics
import time
from typing import Any

import numpy as np

from .sparse_work import Prepared, Work
from .worker import keep_to, peak_mib, seconds, versions

CONTENDERS: dict[str, tuple[str, dict[str, Any]]] = {
    "etp-numpy": ("etp_sparse", {"backend": "numpy"}),
    "etp-jax": ("etp_sparse", {"backend": "jax"}),
    "braintrace": ("peer_sparse", {}),
}
CALLS = 5


def prepared(name: str, work: Work) -> Prepared:
    """Return a contender ready to run."""
    module, options = CONTENDERS[name]
    found = importlib.import_module(f"bench.contenders.{module}")
    ready: Prepared = found.prepare(work, work.arrays(), **options)
    return ready


def measure(name: str, work: Work, what: str) -> dict[str, Any]:
    """Return times and peak memory; a small layer goes before, so that all is loaded."""
    getattr(prepared(name, Work(n=40, steps=work.steps)), what)()
    base = peak_mib()
    begin = time.perf_counter()
    run = getattr(prepared(name, work), what)
    build = time.perf_counter() - begin
    found: list[Any] = []

    def once() -> None:
        found.append(run())

    first, _ = seconds(once)
    calls = [seconds(once) for _ in range(CALLS)]
    wall, cpu = (statistics.median(c[k] for c in calls) for k in (0, 1))
    report = {"norm": norm(found[0], work.nnz)} if what == "gradient" else {"losses": found}
    return {
        "compile_s": max(0.0, build + first - wall), "ms_per_step": wall / work.steps * 1e3,
        "cpu_ms_per_step": cpu / work.steps * 1e3, "base_mib": base,
        "peak_mib": peak_mib() - base, **report, "versions": versions(),
    }  # fmt: skip


def norm(grads: Any, nnz: int) -> float:
    """Return the norm of the gradient of the nonzeros, wherever a contender keeps it."""
    found: list[Any] = [grads]
    while found:
        item = found.pop()
        if isinstance(item, dict):
            found += item.values()
        elif np.shape(item) == (nnz,):
            return float(np.linalg.norm(np.asarray(item)))
    return math.nan


def main() -> None:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=CONTENDERS)
    parser.add_argument("n", type=int)
    parser.add_argument("what", choices=("gradient", "train"))
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    keep_to(given.threads)
    print(json.dumps(measure(given.name, Work(given.n), given.what)))


if __name__ == "__main__":
    main()
