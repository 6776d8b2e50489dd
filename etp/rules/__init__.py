"""Learning rules, one per file; importing the package registers all of them.

A new rule is one new module in this folder that decorates its class with `register`.
"""

from importlib import import_module
from pkgutil import iter_modules

from .algebra import Mat, Named, Vec
from .base import (
    PER_INPUT,
    PER_RESULT,
    PER_WEIGHT,
    Kind,
    LearningRule,
    OnlineRule,
    Slot,
    StepRule,
    TraceRule,
    Traces,
)
from .bundle import Bundle
from .registry import available, register, registered, resolve

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

from .bptt import BPTT  # noqa: E402
from .cet import CET  # noqa: E402
from .config import RuleConfig  # noqa: E402
from .d_rtrl import DRTRL  # noqa: E402
from .decolle import DECOLLE  # noqa: E402
from .dni import DNI  # noqa: E402
from .eprop import EProp  # noqa: E402
from .f_bptt import FBPTT  # noqa: E402
from .forward_gradient import ForwardGradient  # noqa: E402
from .kernl import KeRNL  # noqa: E402
from .kf_rtrl import KFRTRL  # noqa: E402
from .mdgl import MDGL  # noqa: E402
from .mod_prop import ModProp  # noqa: E402
from .node_perturbation import NodePerturbation  # noqa: E402
from .ok import OK  # noqa: E402
from .ostl_feedforward import OSTLFeedforward  # noqa: E402
from .ostl_recurrent import OSTLRecurrent  # noqa: E402
from .osttp import OSTTP  # noqa: E402
from .otpe import OTPE  # noqa: E402
from .ottt import OTTT  # noqa: E402
from .pp_prop import PPProp  # noqa: E402
from .r_kf_rtrl import RKFRTRL  # noqa: E402
from .r_stdp import RSTDP  # noqa: E402
from .rflo import RFLO  # noqa: E402
from .rtrl import RTRL  # noqa: E402
from .s_tllr import STLLR  # noqa: E402
from .sk_rtrl import SKRTRL  # noqa: E402
from .sltt import SLTT  # noqa: E402
from .snap import SnAp  # noqa: E402
from .sparse_rtrl import SparseRTRL  # noqa: E402
from .stdp import STDP  # noqa: E402
from .superspike import SuperSpike  # noqa: E402
from .tbptt import TBPTT  # noqa: E402
from .three_factor import ThreeFactor  # noqa: E402
from .uoro import UORO  # noqa: E402

__all__ = [
    "BPTT", "Bundle", "CET", "DECOLLE", "DNI", "DRTRL", "EProp", "FBPTT", "ForwardGradient",
    "KFRTRL", "KeRNL", "Kind", "LearningRule", "MDGL", "Mat", "ModProp", "Named",
    "NodePerturbation", "OK", "OSTLFeedforward", "OSTLRecurrent", "OSTTP", "OTPE", "OTTT",
    "OnlineRule", "PER_INPUT", "PER_RESULT", "PER_WEIGHT", "PPProp", "RFLO", "RKFRTRL", "RSTDP",
    "RTRL", "RuleConfig", "SKRTRL", "SLTT", "STDP", "STLLR", "Slot", "SnAp", "SparseRTRL",
    "StepRule", "SuperSpike", "TBPTT", "ThreeFactor", "TraceRule", "Traces", "UORO", "Vec",
    "available", "register", "registered", "resolve",
]  # fmt: skip
