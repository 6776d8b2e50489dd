"""The results: one table to read and one JSON document to keep."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import asdict
from rich.box import SIMPLE_HEAD
from rich.table import Table

from .cases import Case
from .runner import FIGURES, Row, Setting

Results = dict[Case, list[Row]]

# Whose time the table divides by the row's own: how many times faster the row is.
RIVALS = ("bptt", "braintrace", "braintrace-fast")


def table(results: Results, clock: str) -> Table:
    """Return one table of all cases; the speeds against the rivals are by the given clock."""
    found = Table(box=SIMPLE_HEAD)
    columns = ["contender", "us per\nstep", "fastest", "cpu"]
    columns += ["x " + name.replace("-", "\n-") for name in RIVALS]
    columns += ["deviation", "compile\ns", "peak\nMiB"]
    for index, name in enumerate(columns):
        found.add_column(name, justify="right" if index else "left", no_wrap=True)
    for case, rows in results.items():
        found.add_row(f"[bold]{case.model}, {case.rule}, n = {case.n}[/bold]")
        for row in rows:
            found.add_row(*_cells(row, clock))
        found.add_row()
    return found


def notes(results: Results) -> list[str]:
    """Return the lines that go under the table: faults of gradients, and who did not take part."""
    lines = []
    for case, rows in results.items():
        for row in rows:
            who = f"{case.name} {row.contender.name}"
            if row.skipped:
                lines.append(f"{who}: {row.skipped}")
            if row.agreement and not row.agreement.holds():
                zero = ", ".join(row.agreement.zero)
                fault = f"zero gradient for {zero}; " if zero else ""
                known = row.contender.faults.get(case.model)
                reason = f" ({known})" if known else ""
                lines.append(f"{who}: {fault}the rest is off by {row.agreement.worst:.1e}{reason}")
    return lines


def document(results: Results, setting: Setting) -> dict[str, Any]:
    """Return everything that was measured, ready for JSON."""
    return {
        **occasion(),
        "setting": {"rounds": setting.rounds, "seconds": setting.seconds,
                    "threads": setting.threads},
        "cases": [
            {"case": {**vars(case), "rule": case.rule}, "contenders": [_entry(r) for r in rows]}
            for case, rows in results.items()
        ],
    }  # fmt: skip


def occasion() -> dict[str, Any]:
    """Return when and on what machine this runs."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cpu": _cpu(), "cores": os.cpu_count(), "system": platform.platform()},
    }


def _cells(row: Row, clock: str) -> list[str]:
    cells = [f"  {row.contender.name}"]
    agreement = row.agreement
    deviation = f"{agreement.worst:.0e}" if agreement else "-"
    if agreement and agreement.zero:
        deviation += f", {len(agreement.zero)} zero"
    if not row.rounds:
        return [*cells, *"---", *("-" for _ in RIVALS), deviation, "-", "-"]
    fastest = min(r["us_per_step_fastest"] for r in row.rounds)
    ratios = row.ratios[clock]
    speeds = [f"{1 / ratios[r]:.2f}" if r in ratios else "-" for r in RIVALS]
    return [
        *cells, f"{row.figure('us_per_step'):.0f}", f"{fastest:.0f}",
        f"{row.figure('us_per_step_cpu'):.0f}", *speeds, deviation,
        f"{row.figure('compile_s'):.1f}", f"{row.figure('peak_mib'):.0f}",
    ]  # fmt: skip


def _entry(row: Row) -> dict[str, Any]:
    contender = row.contender
    entry: dict[str, Any] = {
        "name": contender.name, "about": contender.about, "estimator": contender.estimator,
        "xla_flags": contender.xla_flags, "faults": dict(contender.faults), "skipped": row.skipped,
        "agreement": asdict(row.agreement) if row.agreement else None,
    }  # fmt: skip
    if row.rounds:
        entry |= {name: round(row.figure(name), 3) for name in FIGURES}
        for clock, ratios in row.ratios.items():
            entry[f"{clock}_relative_to"] = {k: round(v, 4) for k, v in ratios.items()}
        entry["rounds"] = [_short(r) for r in row.rounds]
    return entry


def _short(report: dict[str, Any]) -> dict[str, Any]:
    """Return one round's report without its single calls."""
    calls = sorted(report["calls_s"])
    short = report | {"calls": len(calls), "slowest_s": calls[-1]}
    del short["calls_s"], short["cpu_s"]
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in short.items()}


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()
