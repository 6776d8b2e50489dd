"""The intermediate representation of eligibility-trace programs.

Typed, straight-line, static single assignment; parseable text; derivatives and batching as
transformations. It knows no learning rule and no array library but NumPy.
"""

from . import ops, primitives
from .builder import Builder
from .core import Input, Literal, Node, Output, Program, Role, Value
from .errors import (
    CompilationError,
    ETPError,
    IRError,
    LoweringError,
    ModelError,
    NotSupportedError,
    ParseError,
    ShapeError,
    TraceError,
    TypeRuleError,
    VerifyError,
)
from .primitive import Hole, Primitive, register
from .tracer import Tracer, trace
from .types import DType, TensorType

__all__ = [
    "Builder", "CompilationError", "DType", "ETPError", "Hole", "IRError", "Input", "Literal",
    "LoweringError", "ModelError", "Node", "NotSupportedError", "Output", "ParseError", "Primitive",
    "Program", "Role", "ShapeError", "TensorType", "TraceError", "Tracer", "TypeRuleError", "Value",
    "VerifyError", "ops", "primitives", "register", "trace",
]  # fmt: skip
