"""A picture of an audit: alignment over training, and credit by lag."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..plotting import FAINT, INK, MUTED

if TYPE_CHECKING:
    from .audit import Audit

# Parameters that have a line of their own; the others are in grey.
NAMED = 6
COLORS = ("#c8472f", "#2f6fc8", "#3a9a5b", "#b07d1e", "#7a4fb5", "#1f8a94")


def draw(path: Path, audit: Audit) -> None:
    """Draw cosines over the checkpoints, and credit by lag at the first and the last one."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1, wspace=0.05)
    figure = Figure(figsize=(10.4, 4.4), dpi=160, layout=layout)
    figure.suptitle(
        f"{audit.title}, {audit.rule}", x=0.012, ha="left", fontsize=12, fontweight="bold",
        color=INK,
    )  # fmt: skip
    left, right = figure.subplots(1, 2)
    _over_training(left, audit)
    _by_lag(right, audit)
    figure.savefig(path, facecolor="white", format="png")


def _over_training(axes: Any, audit: Audit) -> None:
    """Draw the cosine of each parameter; those that are exact throughout share the top line."""
    epochs = [c.epoch for c in audit.checkpoints]
    inexact = [n for n, p in audit.parameters.items() if p.status not in ("exact", "unreachable")]
    worst = sorted(inexact, key=lambda n: np.nan_to_num(audit.parameters[n].credit, nan=1.0))
    for name in reversed(worst):
        y = [c.parameters[name].cosine for c in audit.checkpoints]
        rank = worst.index(name)
        color = COLORS[rank] if rank < NAMED else FAINT
        axes.plot(epochs, y, color=color, linewidth=2, marker="o", markersize=3.5,
                  label=name if rank < NAMED else None)  # fmt: skip
    y = [c.overall.cosine for c in audit.checkpoints]
    axes.plot(epochs, y, color=INK, linewidth=2.5, linestyle="--", label="all parameters")
    lowest = min([0.0, *(c.parameters[n].cosine for c in audit.checkpoints for n in inexact)])
    axes.set_ylim(max(-1.0, lowest) - 0.03, 1.03)
    axes.set_title("cosine to BPTT", loc="left", fontsize=10, color=MUTED)
    axes.set_xlabel("epoch", color=MUTED)
    _finish(axes)
    axes.legend(fontsize=8, frameon=False, loc="best")


def _by_lag(axes: Any, audit: Audit) -> None:
    """Draw how much of BPTT's share arrives at each lag, and how much there is."""
    points = [c for c in audit.checkpoints if c.lags is not None]
    axes.set_title("credit by lag, for a loss at the last step", loc="left", fontsize=10,
                   color=MUTED)  # fmt: skip
    if not points:
        axes.text(0.5, 0.5, "the rule keeps nothing between steps", ha="center", color=MUTED,
                  transform=axes.transAxes)  # fmt: skip
        axes.set_axis_off()
        return
    for c, color in zip((points[0], points[-1])[-len(points) :], (COLORS[1], COLORS[0]),
                        strict=False):  # fmt: skip
        assert c.lags is not None
        lags = [s.lag for s in c.lags.shares]
        there = [s.weight for s in c.lags.shares]
        got = [s.weight * s.overall.ratio * np.nan_to_num(s.overall.cosine) for s in c.lags.shares]
        axes.plot(lags, there, color=color, linewidth=1.2, linestyle=":",
                  label=f"BPTT, epoch {c.epoch}")  # fmt: skip
        axes.plot(lags, got, color=color, linewidth=2, marker="o", markersize=3.5,
                  label=f"{audit.rule}, epoch {c.epoch}")  # fmt: skip
    axes.axhline(0, color=FAINT, linewidth=0.8)
    axes.set_xlabel("steps between use and loss", color=MUTED)
    _finish(axes)
    axes.legend(fontsize=8, frameon=False, loc="best")


def _finish(axes: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(axis="y", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.tick_params(colors=MUTED, length=0, labelsize=9)
