"""Train recurrent and spiking networks online, forward in time, with eligibility traces.

A model is an ordinary class; `compile` makes a learner of it for a learning rule and a backend.
"""

from etp_ir import namespace as xp
from etp_ir.errors import (
    CompilationError,
    ETPError,
    ModelError,
    NotSupportedError,
    ShapeError,
    TraceError,
)

from . import (
    backends,
    checkpoint,
    init,
    losses,
    nn,
    optim,
    oracle,
    random,
    rl,
    rules,
    signals,
)
from .compile import compile
from .compiler import (
    CompilationRecord,
    CompilationWarning,
    DiagnosticKind,
    DiagnosticLevel,
    compile_etrace_graph,
)
from .control import cond, fori_loop, scan, while_loop
from .conv import conv, conv_transpose
from .data import MultiStepData, SingleStepData
from .embedding import embedding
from .fit import History
from .functional import element_wise, matmul, spike, stop_gradient
from .learner import Learner
from .mode import evaluation, training
from .model import Buffer, Module, Param, State
from .products import einsum, grouped_matmul, lora_matmul
from .register import register_primitive
from .sequences import DataError
from .sparse import sparse_matmul
from .sparsity import SparsePattern, random_pattern, sparse_pattern
from .statistics import batch_mean

__version__ = "0.1.0"

__all__ = [
    "Buffer", "CompilationError", "CompilationRecord", "CompilationWarning", "DataError",
    "DiagnosticKind", "DiagnosticLevel", "ETPError", "History", "Learner", "ModelError", "Module",
    "MultiStepData", "NotSupportedError", "Param", "ShapeError", "SingleStepData", "SparsePattern",
    "State", "TraceError", "backends", "batch_mean", "checkpoint", "compile",
    "compile_etrace_graph", "cond", "conv", "conv_transpose", "einsum", "element_wise", "embedding",
    "evaluation", "fori_loop", "grouped_matmul", "init", "lora_matmul", "losses", "matmul", "nn",
    "optim", "oracle", "random", "random_pattern", "register_primitive", "rl", "rules", "scan",
    "signals", "sparse_matmul", "sparse_pattern", "spike", "stop_gradient", "training",
    "while_loop", "xp",
]  # fmt: skip
