"""What stays the same over a sequence and what changes: data said to be of one step, or of many."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen

from etp_ir.errors import ModelError, compose


def _bare(data: Any) -> Any:
    if isinstance(data, (SingleStepData, MultiStepData)):
        raise ModelError(
            compose(f"{type(data).__name__} was given, which says already what its data are",
                    how="give the array itself")
        )  # fmt: skip
    return data


@frozen
class SingleStepData:
    """An array (B, ...) that is the same at all steps of a sequence, such as a context or a goal.

    In `predict`, `grad` and `fit` it stands for one of several inputs, or for the target; the
    steps share it, and no copies of it are made. In `step` it is what a bare array is.

    Attributes
    ----------
    data
        The array.
    """

    data: Any = field(converter=_bare)


@frozen
class MultiStepData:
    """An array (T, B, ...) with a part for each step: what a bare array in a sequence is.

    Attributes
    ----------
    data
        The array.
    """

    data: Any = field(converter=_bare)
