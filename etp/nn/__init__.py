"""Layers, cells and neurons; each computes one step of one example and keeps its own state."""

from .activation import (
    PReLU,
    celu,
    elu,
    gelu,
    glu,
    hard_sigmoid,
    hard_swish,
    hard_tanh,
    leaky_relu,
    log_sigmoid,
    log_softmax,
    mish,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    softmax,
    softplus,
    softsign,
    tanh,
    tanh_shrink,
)
from .bidirectional import Bidirectional
from .effective import Effective
from .gru import GRUCell
from .lif import ALIFCell, LIFCell
from .linear import Gate, Linear
from .lstm import LSTMCell
from .norm import GroupNorm, LayerNorm, RMSNorm
from .readout import LeakyRateReadout
from .residual import Residual
from .rnn import VanillaRNNCell
from .sequential import Sequential
from .signed import SignedWLinear
from .standardised import ScaledWSLinear
from .synapse import CurrentSynapse
from .weight_norm import WeightNorm

__all__ = [
    "ALIFCell", "Bidirectional", "CurrentSynapse", "Effective", "GRUCell", "Gate", "GroupNorm",
    "LIFCell", "LSTMCell", "LayerNorm", "LeakyRateReadout", "Linear", "PReLU", "RMSNorm",
    "Residual", "ScaledWSLinear", "Sequential", "SignedWLinear", "VanillaRNNCell", "WeightNorm",
    "celu", "elu", "gelu", "glu", "hard_sigmoid", "hard_swish", "hard_tanh", "leaky_relu",
    "log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "softmax",
    "softplus", "softsign", "tanh", "tanh_shrink",
]  # fmt: skip
