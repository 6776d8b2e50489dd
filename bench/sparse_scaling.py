"""``python -m bench sparse``: time and memory of a sparse layer by the number of its nonzeros."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import frozen
from rich.box import SIMPLE_HEAD
from rich.table import Table

from .process import start
from .sparse_work import Work

CONTENDERS = {"etp-numpy": ("train", "gradient"), "etp-jax": ("train", "gradient"),
              "braintrace": ("gradient",)}  # fmt: skip
COLUMNS = (
    "units", "nonzeros", "contender", "what", "compile\ns", "ms per\nstep", "cpu", "peak\nMiB",
    "per nonzero\nand example", "dense\nMiB", "loss,\nfirst to last",
)  # fmt: skip


@frozen
class Measured:
    """What one contender took for one layer, or why there is nothing."""

    work: Work
    contender: str
    what: str
    found: dict[str, Any]
    skipped: str = ""

    @property
    def bytes_per_unit(self) -> float:
        """Peak memory above the baseline, by the numbers that nonzeros and examples make."""
        return float(self.found["peak_mib"]) / self.work.unit_mib


def run(
    sizes: Sequence[int], threads: int, pythons: dict[str, str], say: Callable[[str], None]
) -> list[Measured]:
    """Return what every contender took for every size, each in a process of its own."""
    rows = []
    for n in sizes:
        for name, tasks in CONTENDERS.items():
            for what in tasks:
                say(f"{name}, {n} units: {what}")
                found = start(
                    pythons[name], "bench.sparse_worker",
                    [name, str(n), what, "--threads", str(threads)], threads,
                )  # fmt: skip
                if isinstance(found, str):
                    rows.append(Measured(Work(n), name, what, {}, found))
                else:
                    rows.append(Measured(Work(n), name, what, found))
    return rows


def table(rows: Sequence[Measured]) -> Table:
    """Return one table; memory is also given in numbers of four bytes per nonzero and example."""
    shown = Table(box=SIMPLE_HEAD)
    for name in COLUMNS:
        shown.add_column(name, justify="left" if name in ("contender", "what") else "right")
    for row in rows:
        work, found = row.work, row.found
        cells = [str(work.n), str(work.nnz), row.contender, row.what]
        if found:
            losses = found.get("losses")
            cells += [f"{found[k]:.1f}" for k in ("compile_s", "ms_per_step", "cpu_ms_per_step")]
            cells += [f"{found['peak_mib']:.0f}", f"{row.bytes_per_unit:.1f}"]
            cells += [f"{work.n**2 * 4 / 2**20:.0f}"]
            cells += [f"{losses[0]:.2f} to {losses[-1]:.2f}" if losses else ""]
        shown.add_row(*cells)
    return shown


def entry(row: Measured) -> dict[str, Any]:
    """Return what was measured, ready for JSON."""
    return {
        "n": row.work.n, "nnz": row.work.nnz, "batch": row.work.batch, "steps": row.work.steps,
        "contender": row.contender, "what": row.what, "skipped": row.skipped,
        "unit_mib": row.work.unit_mib, **row.found,
    }  # fmt: skip
