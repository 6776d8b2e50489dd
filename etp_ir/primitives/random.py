"""Counter-based random bits: Threefry-2x32, the same bits on every backend.

Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011. A key and a counter of
32-bit words go in, 32-bit words come out; there is no state, so a draw is a function of where
it stands: seed, example, step and call.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import ops
from ..core import Operand
from ..errors import TypeRuleError
from ..primitive import Primitive, get, register
from ..tracer import bind
from ..types import U32, TensorType
from .base import fronted
from .index import iota_like

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA


def _infer(key: Operand, *, shape: tuple[int, ...]) -> TensorType:
    if key.type.dtype is not U32 or key.type.shape[-1:] != (2,):
        raise TypeRuleError(f"`random_bits` needs keys of type u32[...,2], got {key.type}")
    return TensorType(U32, (*key.type.shape[:-1], *shape))


def _rotate(x: Any, r: int) -> Any:
    return ops.or_(ops.shift_left(x, r), ops.shift_right(x, 32 - r))


def threefry(k0: Any, k1: Any, x0: Any, x1: Any) -> tuple[Any, Any]:
    """Return the two output words of Threefry-2x32 with 20 rounds, element by element."""
    schedule = (k0, k1, ops.xor(ops.xor(k0, k1), _PARITY))
    x0, x1 = ops.add(x0, k0), ops.add(x1, k1)
    for block in range(5):
        for r in _ROTATIONS[block % 2]:
            x0 = ops.add(x0, x1)
            x1 = ops.xor(x0, _rotate(x1, r))
        x0 = ops.add(x0, schedule[(block + 1) % 3])
        x1 = ops.add(ops.add(x1, schedule[(block + 2) % 3]), block + 1)
    return x0, x1


def _half(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the number of words to draw, and the number of counters that give them."""
    size = math.prod(shape)
    return size, max(-(-size // 2), 1)


def _lower(key: Any, *, shape: tuple[int, ...]) -> Any:
    size, half = _half(shape)
    # Keys of examples and of steps are laid in one row: what is long and made of many operations
    # has few numbers for each of its rows then, which a backend may take block by block.
    lead = (math.prod(key.shape[:-1]),) if key.ndim > 1 else ()
    keys = ops.reshape(key, (*lead, 2))
    axes = tuple(range(len(lead)))
    counter = iota_like(key, (*lead, half), len(lead))

    def word(i: int) -> Any:
        start, stop = (0,) * len(lead) + (i,), (*lead, i + 1)
        one = ops.slice_(keys, start, stop, (1,) * keys.ndim)
        return ops.broadcast(ops.reshape(one, lead), counter.shape, axes)

    words = ops.concat(threefry(word(0), word(1), counter, ops.add(counter, half)), len(lead))
    if size < 2 * half:
        words = ops.slice_(words, (0,) * words.ndim, (*lead, size), (1,) * words.ndim)
    return ops.reshape(words, (*key.shape[:-1], *shape))


def _reference(key: Any, *, shape: tuple[int, ...]) -> Any:
    size, half = _half(shape)
    u = np.uint32
    k0, k1 = key[..., :1], key[..., 1:]
    with np.errstate(over="ignore"):
        schedule = (k0, k1, k0 ^ k1 ^ u(_PARITY))
        x0 = np.arange(half, dtype=u) + k0
        x1 = np.arange(half, 2 * half, dtype=u) + k1
        for block in range(5):
            for r in _ROTATIONS[block % 2]:
                x0 = x0 + x1
                x1 = x0 ^ ((x1 << u(r)) | (x1 >> u(32 - r)))
            x0 = x0 + schedule[(block + 1) % 3]
            x1 = x1 + schedule[(block + 2) % 3] + u(block + 1)
    words = np.concatenate([x0, x1], axis=-1)[..., :size]
    return words.reshape((*key.shape[:-1], *shape))


def _batch(operands: Any, axes: Any, size: int, *, shape: Any) -> Any:
    # Keys lie along the last axis, so a batch of them is one more leading axis.
    (keys,) = fronted(operands, axes)
    return [bind(get("random_bits"), keys, shape=shape)], [0]


register(
    Primitive(
        name="random_bits",
        infer=_infer,
        reference=_reference,
        batch=_batch,
        lower=_lower,
    )
)
