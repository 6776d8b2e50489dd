"""Starting a worker that prints what it measured as a line of JSON."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from typing import Any

from .runner import ROOT, TIMEOUT_S

POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def start(
    python: str, module: str, arguments: Sequence[str], threads: int = 1
) -> dict[str, Any] | str:
    """Return what a worker prints, or in one line why it failed.

    Parameters
    ----------
    python
        The interpreter.
    threads
        Size of the thread pools of the numerical libraries.
    """
    environment = {
        **os.environ, **dict.fromkeys(POOLS, str(threads)), "JAX_PLATFORMS": "cpu",
        "PYTHONWARNINGS": "ignore",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "backends")]),
    }  # fmt: skip
    try:
        done = subprocess.run(
            [python, "-m", module, *arguments], env=environment, cwd=ROOT, capture_output=True,
            text=True, timeout=TIMEOUT_S,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{type(error).__name__}: {error}"
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["no message"])[-1]
    report: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return {**report, "load": os.getloadavg()[0]}
