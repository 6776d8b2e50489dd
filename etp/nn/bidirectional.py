"""Reading a sequence from both ends, which an online rule cannot."""

from __future__ import annotations

from typing import Any

from etp_ir.errors import NotSupportedError

from ..given import mistake
from ..model import Module


class Bidirectional(Module):
    """Refused: a cell that reads the sequence backwards needs inputs that have not come yet.

    Schuster & Paliwal, "Bidirectional recurrent neural networks", 1997, join a cell that runs
    forwards with one that runs backwards in time. Eligibility traces advance with the input, so at
    no step can the output of the second be known.

    Raises
    ------
    NotSupportedError
        Always, with what to use instead.
    """

    def __init__(self, *cells: Any, **options: Any) -> None:
        raise mistake(
            NotSupportedError,
            "Bidirectional reads the sequence backwards too: the output of a step needs the inputs "
            "after it, and a model is trained online, one step after the other",
            "give the model the steps it may look ahead to as features of its input and delay the "
            "targets by as many, or feed the reversed sequence to a second learner",
        )
