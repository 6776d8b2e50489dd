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
from .eligibility import EligibilityTrace
from .embedding import embedding
from .feedback import FixedRandomFeedback
from .filters import DoubleExponential, GradExpon, KappaFilter, PresynapticTrace
from .fit import History
from .functional import element_wise, matmul, spike, stop_gradient
from .learner import Learner
from .mode import evaluation, training
from .model import Buffer, Module, Param, State
from .products import einsum, grouped_matmul, lora_matmul
from .register import register_primitive
from .rules import (
    BPTT,
    CET,
    DECOLLE,
    DNI,
    FBPTT,
    KFRTRL,
    MDGL,
    OK,
    OSTTP,
    OTPE,
    OTTT,
    RFLO,
    RKFRTRL,
    RSTDP,
    RTRL,
    SKRTRL,
    SLTT,
    STDP,
    STLLR,
    TBPTT,
    UORO,
    EProp,
    ForwardGradient,
    KeRNL,
    ModProp,
    NodePerturbation,
    OSTLFeedforward,
    OSTLRecurrent,
    SnAp,
    SparseRTRL,
    SuperSpike,
    ThreeFactor,
)
from .rules import DRTRL as D_RTRL
from .rules import PPProp as pp_prop
from .rules.config import RuleConfig
from .sequences import DataError
from .signals import SyntheticGradient
from .sparse import sparse_matmul
from .sparsity import SparsePattern, random_pattern, sparse_pattern
from .statistics import batch_mean

ES_D_RTRL = pp_prop

__version__ = "0.1.0"

__all__ = [
    "BPTT", "Buffer", "CET", "CompilationError", "CompilationRecord", "CompilationWarning",
    "DECOLLE", "DNI", "D_RTRL", "DataError", "DiagnosticKind", "DiagnosticLevel",
    "DoubleExponential", "EProp", "ES_D_RTRL", "ETPError", "EligibilityTrace", "FBPTT",
    "FixedRandomFeedback", "ForwardGradient", "GradExpon", "History", "KFRTRL", "KappaFilter",
    "KeRNL", "Learner", "MDGL", "ModProp", "ModelError", "Module", "MultiStepData",
    "NodePerturbation", "NotSupportedError", "OK", "OSTLFeedforward", "OSTLRecurrent", "OSTTP",
    "OTPE", "OTTT", "Param", "PresynapticTrace", "RFLO", "RKFRTRL", "RSTDP", "RTRL", "RuleConfig",
    "SKRTRL", "SLTT", "STDP", "STLLR", "ShapeError", "SingleStepData", "SnAp", "SparsePattern",
    "SparseRTRL", "State", "SuperSpike", "SyntheticGradient", "TBPTT", "ThreeFactor", "TraceError",
    "UORO", "backends", "batch_mean", "checkpoint", "compile", "compile_etrace_graph", "cond",
    "conv", "conv_transpose", "einsum", "element_wise", "embedding", "evaluation", "fori_loop",
    "grouped_matmul", "init", "lora_matmul", "losses", "matmul", "nn", "optim", "oracle", "pp_prop",
    "random", "random_pattern", "register_primitive", "rl", "rules", "scan", "signals",
    "sparse_matmul", "sparse_pattern", "spike", "stop_gradient", "training", "while_loop", "xp",
]  # fmt: skip
