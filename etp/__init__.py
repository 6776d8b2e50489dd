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

from . import backends, checkpoint, init, losses, nn, optim, oracle, rules
from .compile import compile
from .compiler import (
    CompilationRecord,
    CompilationWarning,
    DiagnosticKind,
    DiagnosticLevel,
    compile_etrace_graph,
)
from .control import cond, fori_loop, scan, while_loop
from .fit import History
from .functional import element_wise, matmul, spike, stop_gradient
from .learner import Learner
from .model import Module, Param, State
from .products import einsum, grouped_matmul, lora_matmul
from .register import register_primitive
from .sequences import DataError

__version__ = "0.1.0"

__all__ = [
    "CompilationError",
    "CompilationRecord",
    "CompilationWarning",
    "DataError",
    "DiagnosticKind",
    "DiagnosticLevel",
    "ETPError",
    "History",
    "Learner",
    "ModelError",
    "Module",
    "NotSupportedError",
    "Param",
    "ShapeError",
    "State",
    "TraceError",
    "backends",
    "checkpoint",
    "compile",
    "compile_etrace_graph",
    "cond",
    "einsum",
    "element_wise",
    "fori_loop",
    "grouped_matmul",
    "init",
    "lora_matmul",
    "losses",
    "matmul",
    "nn",
    "optim",
    "oracle",
    "register_primitive",
    "rules",
    "scan",
    "spike",
    "stop_gradient",
    "while_loop",
    "xp",
]
