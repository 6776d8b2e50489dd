"""Learning curves as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, MUTED, FAINT = "#22252b", "#6b7280", "#e3e6ea"
COLORS = {"train": "#8b97a8", "test": "#c8472f"}
# Labels of two line ends need this much of the height between them.
APART = 0.075


def learning_curve(path: Path, epochs: Sequence[Mapping[str, Any]], title: str) -> None:
    """Draw loss, and accuracy if there is one, over the epochs into a PNG file.

    Parameters
    ----------
    epochs
        For each epoch, ``epoch`` and ``loss`` of ``train_`` and ``test_``, perhaps ``accuracy``.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.ticker import LogLocator, NullLocator, PercentFormatter, StrMethodFormatter

    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1, wspace=0.04)
    names = [name for name in ("loss", "accuracy") if f"test_{name}" in epochs[0]]
    figure = Figure(figsize=(4.8 * len(names), 4.2), dpi=160, layout=layout)
    figure.suptitle(title, x=0.012, ha="left", fontsize=12, fontweight="bold", color=INK)
    loss, *rest = figure.subplots(1, len(names), squeeze=False)[0]
    loss.set_yscale("log")
    _lines(loss, epochs, "loss", "{:.3g}")
    loss.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    loss.yaxis.set_minor_locator(NullLocator())
    loss.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    for accuracy in rest:
        _lines(accuracy, epochs, "accuracy", "{:.1%}")
        accuracy.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    figure.savefig(path, facecolor="white", format="png")


def _lines(axes: Axes, epochs: Sequence[Mapping[str, Any]], name: str, form: str) -> None:
    """Draw one quantity for both parts of the data, named at the ends of their lines."""
    from matplotlib.ticker import MaxNLocator

    x = [row["epoch"] for row in epochs]
    dots = "o" if len(x) < 40 else None
    for part, color in COLORS.items():
        y = [row[f"{part}_{name}"] for row in epochs]
        axes.plot(x, y, color=color, linewidth=2, marker=dots, markersize=3.5, clip_on=False)
    axes.set_title(name, loc="left", fontsize=10, color=MUTED)
    axes.set_xlabel("epoch", color=MUTED)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(axis="y", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.tick_params(colors=MUTED, length=0, labelsize=9)

    # Heights of the line ends as shares of the axes: where they nearly meet, labels step aside.
    heights = {}
    axes.get_xlim(), axes.get_ylim()  # settles the limits, which the transform below needs
    for part in COLORS:
        end = epochs[-1][f"{part}_{name}"]
        point = axes.transData.transform((x[-1], end))
        heights[part] = float(axes.transAxes.inverted().transform(point)[1])
    low, high = sorted(heights, key=lambda part: heights[part])
    gap = heights[high] - heights[low]
    if gap < APART:
        heights[low] -= (APART - gap) / 2
        heights[high] += (APART - gap) / 2
    for part, height in heights.items():
        axes.text(
            1.015, height, f"{part} {form.format(epochs[-1][f'{part}_{name}'])}", fontsize=9,
            transform=axes.transAxes, va="center", color=COLORS[part], fontweight="bold",
        )  # fmt: skip
