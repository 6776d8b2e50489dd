"""The array-API standard (2024.12) over traced arrays: what models are written in.

Each function traces when an argument is traced, and otherwise calls the array library that its
arguments belong to. Names the standard lacks: `einsum`, `split`, `outer`, `sigmoid`, `softplus`,
`relu`, `silu`, `erf`, `softmax`, `log_softmax`, `logsumexp`, `one_hot`, `stop_gradient`.
"""

from __future__ import annotations

from math import e, inf, nan, pi
from typing import Any

from ..types import BF16 as bfloat16
from ..types import BOOL as bool
from ..types import F16 as float16
from ..types import F32 as float32
from ..types import F64 as float64
from ..types import I32 as int32
from ..types import I64 as int64
from ..types import U32 as uint32
from .activation import (
    erf,
    log_softmax,
    logistic,
    logsumexp,
    one_hot,
    relu,
    sigmoid,
    silu,
    softmax,
    softplus,
    stop_gradient,
)  # fmt: skip
from .creation import (
    arange,
    asarray,
    astype,
    empty,
    empty_like,
    eye,
    finfo,
    full,
    full_like,
    iinfo,
    isdtype,
    linspace,
    ones,
    ones_like,
    result_type,
    zeros,
    zeros_like,
)  # fmt: skip
from .elementwise import (
    abs,
    add,
    bitwise_and,
    bitwise_invert,
    bitwise_left_shift,
    bitwise_or,
    bitwise_right_shift,
    bitwise_xor,
    ceil,
    clip,
    cos,
    cosh,
    divide,
    equal,
    exp,
    expm1,
    floor,
    floor_divide,
    greater,
    greater_equal,
    isfinite,
    isinf,
    isnan,
    less,
    less_equal,
    log,
    log1p,
    log2,
    log10,
    logaddexp,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    maximum,
    minimum,
    multiply,
    negative,
    not_equal,
    positive,
    pow,
    reciprocal,
    remainder,
    round,
    sign,
    sin,
    sinh,
    sqrt,
    square,
    subtract,
    tan,
    tanh,
    trunc,
    where,
)  # fmt: skip
from .indexing import getitem, take
from .linear import einsum, matmul, outer, tensordot, vecdot
from .manipulation import (
    broadcast_arrays,
    broadcast_to,
    concat,
    expand_dims,
    flip,
    matrix_transpose,
    moveaxis,
    permute_dims,
    repeat,
    reshape,
    roll,
    split,
    squeeze,
    stack,
    tile,
    unstack,
)  # fmt: skip
from .numpy_names import from_numpy
from .reduction import all, any, argmax, argmin, cumulative_sum, max, mean, min, prod, std, sum, var

newaxis = None

__all__ = [
    "abs", "add", "all", "any", "arange", "argmax", "argmin", "asarray", "astype", "bfloat16",
    "bitwise_and", "bitwise_invert", "bitwise_left_shift", "bitwise_or", "bitwise_right_shift",
    "bitwise_xor", "bool", "broadcast_arrays", "broadcast_to", "ceil", "clip", "concat", "cos",
    "cosh", "cumulative_sum", "divide", "e", "einsum", "empty", "empty_like", "equal", "erf",
    "exp", "expand_dims", "expm1", "eye", "finfo", "flip", "float16", "float32", "float64",
    "floor", "floor_divide", "from_numpy", "full", "full_like", "getitem", "greater",
    "greater_equal", "iinfo", "inf", "int32", "int64", "isdtype", "isfinite", "isinf", "isnan",
    "less", "less_equal", "linspace", "log", "log10", "log1p", "log2", "log_softmax", "logaddexp",
    "logical_and", "logical_not", "logical_or", "logical_xor", "logistic", "logsumexp", "matmul",
    "matrix_transpose", "max", "maximum", "mean", "min", "minimum", "moveaxis", "multiply", "nan",
    "negative", "newaxis", "not_equal", "one_hot", "ones", "ones_like", "outer", "permute_dims",
    "pi", "positive", "pow", "prod", "reciprocal", "relu", "remainder", "repeat", "reshape",
    "result_type", "roll", "round", "sigmoid", "sign", "silu", "sin", "sinh", "softmax",
    "softplus", "split", "sqrt", "square", "squeeze", "stack", "std", "stop_gradient",
    "subtract", "sum", "take", "tan", "tanh", "tensordot", "tile", "trunc", "uint32", "unstack",
    "var", "vecdot", "where", "zeros", "zeros_like",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    from ..errors import nearest

    raise AttributeError(f"etp.xp has no {name!r}{nearest(name, __all__)}")
