"""The options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Task = Annotated[
    str,
    typer.Argument(
        help="The data: digits, copy_memory, delayed_match, evidence or sines.", show_default=True
    ),
]
Model = Annotated[
    str,
    typer.Option(
        help="gru, lstm, rnn, lif or alif; or another cell of etp.nn as it is, such as mgu."
    ),
]
Rule = Annotated[
    str,
    typer.Option(
        help="Learning rule; `etp rules` lists them. Or my_rule.py:MyRule; arguments in brackets."
    ),
]
Backend = Annotated[str, typer.Option(help="auto, or a name that `etp backends` lists.")]
Update = Annotated[
    str | None, typer.Option(help="When weights change: at every step, every K, or per sequence. "
                                  "\\[default: step; sequence for bptt]",
                      metavar="step|K|sequence"),
]  # fmt: skip
By = Annotated[
    str | None, typer.Option(help="How digits are read: row (8 steps) or pixel (64). "
                                  "\\[default: row]"),
]  # fmt: skip
Hidden = Annotated[int | None, typer.Option(min=1, help="Hidden units. \\[default: the model's]")]
BatchSize = Annotated[int, typer.Option(min=1, help="Examples per batch.")]
Window = Annotated[
    int | None, typer.Option(min=0, help="Steps differentiated exactly. \\[default: the rule's]")
]
Scope = Annotated[
    str | None, typer.Option(help="How far influence is followed: diagonal, coupled, "
                                  "'sparse_n(N)', group, layered or full. \\[default: the rule's]"),
]  # fmt: skip
Tail = Annotated[
    str, typer.Option(help="Where positions mix on the way to a state: diagonal (cut) or exact.")
]
Schedule = Annotated[
    str, typer.Option(help="How the same numbers are computed: auto, step, chunk or 'chunk(K)'.")
]
Seed = Annotated[int, typer.Option(min=0, help="Of the first weights and the order of the data.")]
