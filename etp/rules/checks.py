"""Checks of the parameters of rules, shared with signals and filters: see `etp.checks`."""

from ..checks import (
    bound,
    count,
    decay,
    discount,
    flag,
    function,
    integer,
    made,
    not_negative,
    number,
    optional,
    positive,
    real,
    seed,
    text,
    whole,
    word,
    wrong,
)

__all__ = [
    "bound", "count", "decay", "discount", "flag", "function", "integer", "made", "not_negative",
    "number", "optional", "positive", "real", "seed", "text", "whole", "word", "wrong",
]  # fmt: skip
