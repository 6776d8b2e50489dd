"""One contender on one case, in a process of its own; prints one line of JSON.

``python -m bench.worker NAME DATA.npz --grads OUT.npz`` writes the gradient;
``python -m bench.worker NAME DATA.npz --seconds 2`` measures.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

MIN_CALLS, MAX_CALLS = 3, 200


def peak_mib() -> float:
    """Return the highest resident set size of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def keep_to(threads: int) -> list[int]:
    """Bind this process to its first ``threads`` cores; XLA sizes its thread pool by them."""
    if not hasattr(os, "sched_setaffinity"):
        return []
    cores = sorted(os.sched_getaffinity(0))[:threads]
    os.sched_setaffinity(0, cores)
    return cores


def seconds(function: Callable[[], Any]) -> tuple[float, float]:
    """Return how long one call takes, by the wall and in CPU time of all threads."""
    begin, cpu = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - begin, time.process_time() - cpu


def versions() -> dict[str, str]:
    """Return the versions that matter, of what is loaded."""
    found = {"python": platform.python_version()}
    for package in ("numpy", "jax", "jaxlib", "braintrace", "brainstate"):
        if package in sys.modules:
            found[package] = importlib.metadata.version(package)
    return found


def measure(run: Callable[[], Any], budget: float) -> dict[str, Any]:
    """Return the seconds of the first two calls, and of each call once warm.

    Two calls go before the measured ones because a second call may compile again. CPU time tells
    work from waiting for a core, on a machine that is not quiet.
    """
    first, second = seconds(run)[0], seconds(run)[0]
    calls: list[float] = []
    cpu: list[float] = []
    while _more(calls, budget):
        wall, busy = seconds(run)
        calls.append(wall)
        cpu.append(busy)
    return {"first_s": first, "second_s": second, "calls_s": calls, "cpu_s": cpu}


def _more(calls: list[float], budget: float) -> bool:
    if len(calls) < MIN_CALLS:
        return not calls or sum(calls) < 3 * budget  # a very slow contender is called once
    return sum(calls) < budget and len(calls) < MAX_CALLS


def main() -> None:
    """Run one contender as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contender")
    parser.add_argument("data")
    parser.add_argument("--grads", help="write the gradient here instead of measuring")
    parser.add_argument("--seconds", type=float, default=2.0, help="measure for about this long")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    cores = keep_to(args.threads)

    from . import cases
    from .contenders import CONTENDERS

    contender = CONTENDERS[args.contender]
    module = importlib.import_module(f"bench.contenders.{contender.module}")
    case, params, xs, ys = cases.load(args.data)
    before, load = peak_mib(), os.getloadavg()[0]
    begin = time.perf_counter()
    prepared = module.prepare(case, params, xs, ys, **contender.options)
    report: dict[str, Any] = {"build_s": time.perf_counter() - begin}
    if args.grads:
        import numpy as np

        np.savez(args.grads, **prepared.grads(prepared.run()))
    else:
        report |= measure(prepared.run, args.seconds)
        steady = statistics.median(report["calls_s"])
        warm_up = report["build_s"] + report["first_s"] + report["second_s"]
        report |= {
            "us_per_step": steady / case.steps * 1e6,
            "us_per_step_fastest": min(report["calls_s"]) / case.steps * 1e6,
            "us_per_step_cpu": statistics.median(report["cpu_s"]) / case.steps * 1e6,
            "compile_s": max(0.0, warm_up - 2 * steady),
            "peak_mib": peak_mib(),
            "import_mib": before,
            "load_before": load,
            "cores": cores,
            "versions": versions(),
        }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
