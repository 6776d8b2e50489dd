"""Layers, cells and neurons; each computes one step of one example and keeps its own state."""

from importlib import import_module
from pkgutil import iter_modules

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
from .batch_norm import BatchNorm1d, BatchNorm2d
from .bidirectional import Bidirectional
from .cell import cells, register
from .cfn import CFNCell
from .conv import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
)
from .ctrnn import CTRNNCell
from .dropout import Dropout
from .effective import Effective
from .elman import ElmanCell
from .embedding import Embedding
from .flatten import Flatten
from .grouped import GroupedLinear
from .gru import GRUCell
from .ind_rnn import IndRNNCell
from .jordan import JordanCell
from .lif import ALIFCell, LIFCell
from .linear import Gate, Linear
from .lora import LoRA
from .lru import LRUCell
from .lstm import LSTMCell
from .mgu import MGUCell
from .mini_gru import MiniGRUCell
from .mini_lstm import MiniLSTMCell
from .minimal_rnn import MinimalRNNCell
from .norm import GroupNorm, LayerNorm, RMSNorm
from .pool import (
    AdaptiveAvgPool,
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    GlobalAvgPool,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
)
from .pooling import adaptive_avg_pool, avg_pool, global_avg_pool, max_pool
from .readout import LeakyRateReadout, LeakySpikeReadout
from .residual import Residual
from .rnn import VanillaRNNCell
from .rtu import RTUCell
from .s4d import S4DCell
from .s5 import S5Cell
from .sequential import Sequential
from .signed import SignedWLinear
from .sparse import SparseLinear
from .standardised import ScaledWSLinear
from .synapse import CurrentSynapse
from .ur_lstm import URLSTMCell
from .weight_norm import WeightNorm

# A new cell is one new module that decorates its class with `register`.
for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = [
    "ALIFCell", "AdaptiveAvgPool", "AvgPool1d", "AvgPool2d", "AvgPool3d", "BatchNorm1d",
    "BatchNorm2d", "Bidirectional", "CFNCell", "CTRNNCell", "Conv1d", "Conv2d", "Conv3d",
    "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "CurrentSynapse", "Dropout",
    "Effective", "ElmanCell", "Embedding", "Flatten", "GRUCell", "Gate", "GlobalAvgPool",
    "GroupNorm", "GroupedLinear", "IndRNNCell", "JordanCell", "LIFCell", "LRUCell", "LSTMCell",
    "LayerNorm",
    "LeakyRateReadout", "LeakySpikeReadout", "Linear", "LoRA", "MGUCell", "MaxPool1d",
    "MaxPool2d", "MaxPool3d", "MiniGRUCell", "MiniLSTMCell", "MinimalRNNCell", "PReLU", "RMSNorm",
    "RTUCell", "Residual", "S4DCell", "S5Cell", "ScaledWSLinear", "Sequential", "SignedWLinear",
    "SparseLinear", "URLSTMCell", "VanillaRNNCell", "WeightNorm", "adaptive_avg_pool", "avg_pool",
    "cells", "celu", "elu", "gelu", "global_avg_pool", "glu", "hard_sigmoid", "hard_swish",
    "hard_tanh", "leaky_relu", "log_sigmoid", "log_softmax", "max_pool", "mish", "register",
    "relu", "relu6", "selu", "sigmoid", "silu", "softmax", "softplus", "softsign", "tanh",
    "tanh_shrink",
]  # fmt: skip
