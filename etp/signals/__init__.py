"""Learning signals: how credit for the loss arrives at the states of a model.

A new signal is one class in one module of this folder; a rule takes it as ``signal``.
"""

from .base import SYMMETRIC, Shared, Signal, Symmetric
from .bootstrapped import Bootstrapped, SyntheticGradient
from .cell_types import CellTypes
from .direct import DirectRandom, DirectTarget
from .feedback import Adaptive, Random, SignMatched
from .local import LocalReadout
from .modulatory import CONSTANT, Function, Modulatory
from .slopes import MeanSlopes
from .td import TD
from .van_rossum import VanRossum
from .words import as_signal

__all__ = [
    "CONSTANT", "SYMMETRIC", "TD", "Adaptive", "Bootstrapped", "CellTypes", "DirectRandom",
    "DirectTarget", "Function", "LocalReadout", "MeanSlopes", "Modulatory", "Random", "Shared",
    "SignMatched", "Signal", "Symmetric", "SyntheticGradient", "VanRossum", "as_signal",
]  # fmt: skip
