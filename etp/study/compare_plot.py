"""A comparison of learning rules as a picture."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..plotting import FAINT, INK, MUTED
from .compare_result import Comparison, Mean, RuleResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = ("#c8472f", "#2f6fc8", "#3a8f5c", "#a2539c", "#c28a1e", "#4aa3ad", "#7a5a44", "#5b6472")
DASHES = ("solid", "dashed", "dotted", "dashdot")


def draw(found: Comparison, path: Path | str) -> None:
    """Draw test loss, cosine and norm ratio over the updates into a PNG file.

    Lines are means over seeds, bands a standard deviation to either side.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    rules = [rule for rule in found.rules if rule.runs]
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1, wspace=0.05)
    figure = Figure(figsize=(13.0, 4.4), dpi=160, layout=layout)
    n = len(found.setting["seeds"])
    title = f"{found.model} on {found.task}, {n} seed{'s' * (n > 1)}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)
    loss, cosine, ratio = figure.subplots(1, 3)
    panels: list[tuple[Axes, str, Callable[[RuleResult, int], Mean]]] = [
        (loss, "test loss", lambda r, u: r.metric("loss", u)),
        (cosine, "cosine to the gradient of BPTT", lambda r, u: r.aligned("cosine", u)),
        (ratio, "norm, relative to it", lambda r, u: r.aligned("ratio", u)),
    ]
    handles: list[Any] = []
    for axes, name, figures in panels:
        handles = _lines(axes, found.updates, rules, figures)
        _dress(axes, name)
    _logarithmic(loss)
    _logarithmic(ratio)
    _level(loss, found.chance["loss"], "knows nothing")
    _level(cosine, 1.0, "")
    _level(ratio, 1.0, "")
    cosine.set_ylim(top=1.04)
    if handles:
        labels = [rule.label for rule in rules]
        figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=9)
    figure.savefig(path, facecolor="white", format="png")


def _lines(
    axes: Axes, updates: list[int], rules: list[RuleResult], figures: Callable[..., Mean]
) -> list[Any]:
    handles = []
    for index, (rule, color) in enumerate(zip(rules, cycle(COLORS), strict=False)):
        known = [(u, m) for u in updates if (m := figures(rule, u)).count]
        x = np.array([u for u, _ in known])
        mean, spread = (np.array([getattr(m, n) for _, m in known]) for n in ("mean", "spread"))
        dash = DASHES[index // len(COLORS) % len(DASHES)]
        # Rules with the same gradients lie upon each other: later ones are drawn thinner.
        width = max(1.2, 3.2 - 0.5 * index)
        (line,) = axes.plot(x, mean, color=color, linewidth=width, linestyle=dash, zorder=3)
        # On a logarithmic axis a band must not reach zero.
        low = np.where(mean > 0, np.maximum(mean - spread, 0.2 * mean), mean - spread)
        axes.fill_between(x, low, mean + spread, color=color, alpha=0.13, linewidth=0)
        handles.append(line)
    return handles


def _dress(axes: Axes, name: str) -> None:
    axes.set_title(name, loc="left", fontsize=10, color=MUTED)
    axes.set_xlabel("updates", color=MUTED)
    axes.grid(axis="y", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.tick_params(colors=MUTED, length=0, labelsize=9)


def _logarithmic(axes: Axes) -> None:
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    axes.set_yscale("log")
    low, high = axes.get_ylim()
    subs = (1, 2, 5) if high < 300 * low else (1,)
    axes.yaxis.set_major_locator(LogLocator(subs=subs))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


def _level(axes: Axes, value: float, name: str) -> None:
    axes.axhline(value, color=MUTED, linewidth=1, linestyle=(0, (1, 2)), zorder=1)
    if name:
        axes.text(
            0.99, value, name, transform=axes.get_yaxis_transform(), fontsize=8, color=MUTED,
            ha="right", va="bottom",
        )  # fmt: skip
