"""The page on what every rule learns, from the file of results."""

from __future__ import annotations

from collections.abc import Callable

from .learning import TASKS, Cell, Results
from .learning_homes import HOMES, YARDSTICKS

HEAD = """# What every rule learns

Made by `python -m bench learning`; the figures are in [`{source}`]({link}).

Five tasks of `etp.tasks`, small enough for one core, and for each rule a network that suits it.
Every rule has the same first weights, batches and optimiser as the others in its table:
{updates} batches of 32 sequences, one update per sequence, Adam from a rate of {lr:g} that falls to
a tenth, gradients clipped at norm 1, float32, {seeds} seeds. Nothing is tuned to a rule. Figures
are means ± standard deviation over seeds, on the test set; a loss in bold is less than half of what
the best constant answer has.

**Loss** is that after training. **Cosine** is the cosine between the rule's gradient and that of
back-propagation through time, at the same weights and on the same batch, over all parameters of
the network: first before training, where all rules stand on the same weights, then the mean over
nine points of the training. **Norm ratio** is the norm of the rule's gradient relative to the exact
one, at the same points. A rule may learn with a small cosine, and one with a large cosine may lack
what matters; near a loss of zero both gradients are mostly noise.

{yardsticks} are in every table, to measure by. `etp compare` draws the same for any rules, model
and task.
"""


def page(results: Results, link: str) -> str:
    """Return the page in Markdown, with a link to the file of results."""
    names = " and ".join(f"`{name}`" for name in YARDSTICKS)
    lines = [HEAD.format(
        source=results.path.name, link=link, lr=max(home.lr for home in HOMES.values()),
        updates=results.setting.updates, seeds=results.setting.seeds, yardsticks=names,
    )]  # fmt: skip
    done = [c for c in results.cells if "final" in c]
    for home, what in HOMES.items():
        mine = [c for c in done if c["home"] == home]
        if not mine:
            continue
        lines += [f"## {what.title[0].upper()}{what.title[1:]}", ""]
        for title, form in (("Loss", _loss), ("Cosine", _cosine), ("Norm ratio", _ratio)):
            lines += _table(title, mine, form, constant=form is _loss)
    lines += _problems([c for c in results.cells if "final" not in c], done)
    return "\n".join(lines).rstrip() + "\n"


def _table(
    title: str, cells: list[Cell], form: Callable[[Cell], str], *, constant: bool
) -> list[str]:  # fmt: skip
    tasks = [t for t in TASKS if any(c["task"] == t for c in cells)]
    rules = sorted({c["rule"] for c in cells}, key=lambda r: (r not in YARDSTICKS, r))
    lines = [
        f"| {title} | " + " | ".join(tasks) + " |", "|---" * (len(tasks) + 1) + "|",
    ]  # fmt: skip
    if constant:
        chance = {c["task"]: c["chance"]["loss"] for c in cells}
        lines.append(
            "| best constant answer | " + " | ".join(_short(chance[t]) for t in tasks) + " |"
        )
    for rule in rules:
        row = {c["task"]: form(c) for c in cells if c["rule"] == rule}
        lines.append(f"| `{rule}` | " + " | ".join(row.get(t, "") for t in tasks) + " |")
    return [*lines, ""]


def _loss(cell: Cell) -> str:
    loss = cell["final"]["loss"]
    if loss["mean"] is None:
        return "-"
    text = f"{_short(loss['mean'])} ± {loss['spread']:.1g}"
    if loss["mean"] < 0.5 * cell["chance"]["loss"]:
        text = f"**{text}**"
    marks = "¹" * bool(cell["cut_short"]) + "²" * bool(cell["stopped"])
    return text + marks


def _cosine(cell: Cell) -> str:
    return _aligned(cell, "cosine")


def _ratio(cell: Cell) -> str:
    return _aligned(cell, "ratio")


def _aligned(cell: Cell, what: str) -> str:
    found = [cell["aligned"][name] for name in (f"{what}_first", what)]
    if any(mean["mean"] is None for mean in found):
        return "-"
    return ", ".join(f"{mean['mean']:.2f} ± {mean['spread']:.2f}" for mean in found)


def _short(x: float) -> str:
    return f"{x:.2f}" if x >= 0.1 else f"{x:.1g}"


def _problems(cells: list[Cell], done: list[Cell]) -> list[str]:
    lines = []
    if any(c["cut_short"] for c in done):
        lines += ["¹ Cut short after the time allowed: fewer seeds or updates.", ""]
    if any(c["stopped"] for c in done):
        lines += [
            "² In some runs a loss or weight became infinite: what counts is the last look before.",
            "",
        ]
    moved = dict.fromkeys(
        (c["rule"], home, why) for c in done for home, why in c.get("refused_by", {}).items()
    )
    if moved:
        lines += ["## Refused homes", ""]
        lines += [f"- `{rule}` on {HOMES[home].title}: {why}" for rule, home, why in moved]
        lines += [""]
    if cells:
        lines += ["## Not in the tables", ""]
        reasons: dict[tuple[str, str], list[str]] = {}
        for c in cells:
            reasons.setdefault((c["rule"], c["problem"]), []).append(c["task"])
        lines += [
            f"- `{rule}` on {', '.join(tasks)}: {why}" for (rule, why), tasks in reasons.items()
        ]
    return lines
