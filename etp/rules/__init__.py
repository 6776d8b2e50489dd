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
from .d_rtrl import DRTRL  # noqa: E402
from .forward_gradient import ForwardGradient  # noqa: E402
from .kf_rtrl import KFRTRL  # noqa: E402
from .pp_prop import PPProp  # noqa: E402
from .r_kf_rtrl import RKFRTRL  # noqa: E402
from .rtrl import RTRL  # noqa: E402
from .uoro import UORO  # noqa: E402

__all__ = [
    "BPTT", "Bundle", "DRTRL", "ForwardGradient", "KFRTRL", "Kind", "LearningRule", "Mat", "Named",
    "OnlineRule", "PER_INPUT", "PER_RESULT", "PER_WEIGHT", "PPProp", "RKFRTRL", "RTRL", "Slot",
    "StepRule", "TraceRule", "Traces", "UORO", "Vec", "available", "register", "registered",
    "resolve",
]  # fmt: skip
