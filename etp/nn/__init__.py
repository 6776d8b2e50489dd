"""Layers, cells and neurons; each computes one step of one example and keeps its own state."""

from .gru import GRUCell
from .lif import ALIFCell, LIFCell
from .linear import Gate, Linear
from .lstm import LSTMCell
from .readout import LeakyRateReadout
from .rnn import VanillaRNNCell
from .sequential import Sequential
from .synapse import CurrentSynapse

__all__ = [
    "ALIFCell", "CurrentSynapse", "GRUCell", "Gate", "LIFCell", "LSTMCell", "LeakyRateReadout",
    "Linear", "Sequential", "VanillaRNNCell",
]  # fmt: skip
