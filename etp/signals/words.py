"""Learning signals by a word, for the options of rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from etp_ir.errors import ETPError, nearest

from ..given import mistake
from .base import SYMMETRIC, Signal
from .direct import DirectRandom, DirectTarget
from .feedback import Adaptive, Random, SignMatched
from .local import LocalReadout
from .modulatory import Modulatory

WORDS: dict[str, Callable[[], Signal]] = {
    "symmetric": lambda: SYMMETRIC,
    "random": Random,
    "sign": SignMatched,
    "adaptive": Adaptive,
    "direct": DirectRandom,
    "target": DirectTarget,
    "local": LocalReadout,
    "modulatory": Modulatory,
}


def as_signal(given: Any) -> Signal:
    """Return a learning signal, given itself or the word for it.

    Raises
    ------
    etp.ETPError
        If it is neither.
    """
    if isinstance(given, Signal):
        return given
    if isinstance(given, str) and given.lower() in WORDS:
        return WORDS[given.lower()]()
    close = nearest(given if isinstance(given, str) else "", list(WORDS))
    raise mistake(ETPError, f"{given!r} is no learning signal{close}",
                  "give a word, or an object of etp.signals")  # fmt: skip
