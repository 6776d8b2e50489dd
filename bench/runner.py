"""Starts the contenders, compares their gradients, then measures them in turns."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import field, frozen

from . import cases, reference
from .contenders import CONTENDERS, Contender

ROOT = Path(__file__).resolve().parent.parent
TOLERANCE = 1e-3
CLOCKS = {"wall": "us_per_step", "cpu": "us_per_step_cpu"}
FIGURES = (
    "us_per_step", "us_per_step_fastest", "us_per_step_cpu", "compile_s", "peak_mib", "import_mib",
)  # fmt: skip
TIMEOUT_S = 900


class ContenderError(RuntimeError):
    """A contender's process ended without a result."""


@frozen
class Setting:
    """How to measure: rounds over all contenders, seconds per round, threads, interpreters."""

    rounds: int
    seconds: float
    threads: int
    peer_python: str = sys.executable

    def python(self, contender: Contender) -> str:
        """Return the interpreter a contender runs in."""
        return self.peer_python if contender.requires == "braintrace" else sys.executable

    def environment(self, contender: Contender) -> dict[str, str]:
        """Return the environment of a contender's process: threads fixed, its own XLA flags."""
        pools = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        return {
            **os.environ,
            **{name: str(self.threads) for name in pools},
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "backends")]),
            "PYTHONWARNINGS": "ignore",
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": contender.xla_flags,
        }


@frozen
class Agreement:
    """How far a gradient is from the estimator it claims, computed in float64 by the book.

    ``deviation`` is the relative deviation by parameter; ``zero`` names the parameters whose
    gradient is exactly zero although the estimator's is not.
    """

    deviation: dict[str, float]
    zero: tuple[str, ...]

    @property
    def worst(self) -> float:
        """The largest deviation among the parameters that got a gradient."""
        live = [value for name, value in self.deviation.items() if name not in self.zero]
        return float(np.max(live)) if live else float("nan")  # np.max keeps a NaN

    def holds(self, *, freezes: bool = False) -> bool:
        """Whether every parameter agrees; with ``freezes``, those that are zero do not count."""
        return (freezes or not self.zero) and self.worst < TOLERANCE


@frozen
class Row:
    """What is known of one contender on one case.

    ``skipped`` says why there is no time; ``ratios[clock][other]`` is the row's time over that of
    another contender.
    """

    contender: Contender
    agreement: Agreement | None = None
    rounds: tuple[dict[str, Any], ...] = ()
    skipped: str = ""
    ratios: dict[str, dict[str, float]] = field(factory=dict)

    def figure(self, name: str) -> float:
        """Return the median over rounds of one figure."""
        return float(statistics.median(r[name] for r in self.rounds))


def available(contender: Contender, setting: Setting) -> str:
    """Return why a contender cannot take part, or an empty string."""
    python, package = setting.python(contender), contender.requires
    find = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({package!r}) is None)"
    try:
        probe = subprocess.run(
            [python, "-c", find], env=setting.environment(contender), cwd=ROOT, check=False
        )
    except OSError as error:
        return f"{python} does not start ({error.strerror})"
    return f"{package} is not installed for {python}" if probe.returncode else ""


def start(contender: Contender, setting: Setting, data: Path, *extra: str) -> dict[str, Any]:
    """Run a contender's worker to its end and return what it printed."""
    command = [setting.python(contender), "-m", "bench.worker", contender.name, str(data)]
    command += ["--threads", str(setting.threads), *extra]
    try:
        done = subprocess.run(
            command, env=setting.environment(contender), cwd=ROOT, capture_output=True, text=True,
            timeout=TIMEOUT_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise ContenderError(f"no result after {TIMEOUT_S} s") from None
    if done.returncode:
        tail = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ContenderError(f"exit status {done.returncode}: {tail}")
    report: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return report


def compare(found: cases.Arrays, wanted: cases.Arrays) -> Agreement:
    """Return how far ``found`` is from ``wanted``, parameter by parameter."""
    if missing := [name for name in wanted if name not in found]:
        raise ContenderError(f"no gradient for {', '.join(missing)}")
    deviation = {}
    for name, value in wanted.items():
        if not np.any(value):
            raise ValueError(f"the reference gradient of {name} is zero: the case is not alive")
        gap = np.linalg.norm(found[name].astype(np.float64) - value)
        deviation[name] = float(gap / np.linalg.norm(value))
    zero = tuple(name for name in wanted if not np.any(found[name]))
    return Agreement(deviation, zero)


def run_case(
    case: cases.Case, contenders: Sequence[Contender], setting: Setting, folder: Path,
    say: Callable[[str], None],
) -> list[Row]:  # fmt: skip
    """Return one row for each contender: gradients compared first, then the time by turns."""
    data = folder / f"{case.name}.npz"
    cases.save(case, data)
    _, params, xs, ys = cases.load(data)
    wanted: dict[str, cases.Arrays] = {}
    rows: dict[str, Row] = {}
    for contender in contenders:
        reason = available(contender, setting)
        if reason:
            rows[contender.name] = Row(contender, skipped=reason)
            continue
        say(f"{case.name}: gradient of {contender.name}")
        if contender.estimator not in wanted:
            _, grads = reference.gradient(case, params, xs, ys, contender.estimator)
            wanted[contender.estimator] = grads
        target = wanted[contender.estimator]
        rows[contender.name] = _check(contender, setting, case.model, data, target)

    for turn in range(setting.rounds):
        for name, row in rows.items():
            if row.skipped:
                continue
            say(f"{case.name}: round {turn + 1} of {setting.rounds}, {name}")
            rows[name] = _time(row, setting, data)
    return [_with_ratios(row, list(rows.values())) for row in rows.values()]


def _check(
    contender: Contender, setting: Setting, model: str, data: Path, wanted: cases.Arrays
) -> Row:
    out = data.with_suffix(f".{contender.name}.npz")
    try:
        start(contender, setting, data, "--grads", str(out))
        with np.load(out) as found:
            agreement = compare(dict(found), wanted)
    except ContenderError as error:
        return Row(contender, skipped=str(error))
    if agreement.holds(freezes=contender.freezes) or model in contender.faults:
        return Row(contender, agreement)
    return Row(contender, agreement, skipped="not timed, for its gradient is not the estimator's")


def _time(row: Row, setting: Setting, data: Path) -> Row:
    try:
        report = start(row.contender, setting, data, "--seconds", str(setting.seconds))
    except ContenderError as error:
        return Row(row.contender, row.agreement, skipped=str(error))
    return Row(row.contender, row.agreement, (*row.rounds, report))


def _with_ratios(row: Row, rows: list[Row]) -> Row:
    """Return the row with its time relative to each other one, paired round by round."""
    ratios: dict[str, dict[str, float]] = {clock: {} for clock in CLOCKS}
    for other in rows:
        pairs = list(zip(row.rounds, other.rounds, strict=False))
        for clock, figure in CLOCKS.items() if pairs else ():
            quotients = [a[figure] / b[figure] for a, b in pairs]
            ratios[clock][other.contender.name] = statistics.median(quotients)
    return Row(row.contender, row.agreement, row.rounds, row.skipped, ratios)


def choose(names: Sequence[str]) -> list[Contender]:
    """Return the named contenders; an unknown name is an error that lists the known ones."""
    unknown = [name for name in names if name not in CONTENDERS]
    if unknown:
        raise KeyError(f"no contender {unknown[0]!r}; choose from {', '.join(CONTENDERS)}")
    return [CONTENDERS[name] for name in names]
