"""Counter-based random bits: Threefry-2x32, the same bits on every backend.

Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011. A key and a counter of
32-bit words go in, 32-bit words come out; there is no state, so a draw is a function of where
it stands: seed, example, step and call.
"""

from __future__ import annotations

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
    if key.type != TensorType(U32, (2,)):
        raise TypeRuleError(f"`random_bits` needs a key of type u32[2], got {key.type}")
    return TensorType(U32, tuple(shape))


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


def _lower(key: Any, *, shape: tuple[int, ...]) -> Any:
    size = int(np.prod(shape, dtype=np.int64))
    half = -(-size // 2)
    counter = iota_like(key, (max(half, 1),), 0)

    def word(i: int) -> Any:
        one = ops.reshape(ops.slice_(key, (i,), (i + 1,), (1,)), ())
        return ops.broadcast(one, counter.shape, ())

    y0, y1 = threefry(word(0), word(1), counter, ops.add(counter, max(half, 1)))
    words = ops.slice_(ops.concat([y0, y1], 0), (0,), (size,), (1,))
    return ops.reshape(words, shape)


def _reference(key: Any, *, shape: tuple[int, ...]) -> Any:
    size = int(np.prod(shape, dtype=np.int64))
    half = max(-(-size // 2), 1)
    u = np.uint32
    with np.errstate(over="ignore"):
        k0, k1 = u(key[0]), u(key[1])
        schedule = (k0, k1, k0 ^ k1 ^ u(_PARITY))
        x0 = np.arange(half, dtype=u) + k0
        x1 = np.arange(half, 2 * half, dtype=u) + k1
        for block in range(5):
            for r in _ROTATIONS[block % 2]:
                x0 = x0 + x1
                x1 = x0 ^ ((x1 << u(r)) | (x1 >> u(32 - r)))
            x0 = x0 + schedule[(block + 1) % 3]
            x1 = x1 + schedule[(block + 2) % 3] + u(block + 1)
    return np.concatenate([x0, x1])[:size].reshape(shape)


def _batch(operands: Any, axes: Any, size: int, *, shape: Any) -> Any:
    (keys,) = fronted(operands, axes)
    rows = [
        bind(get("random_bits"), ops.reshape(ops.slice_(keys, (i, 0), (i + 1, 2), (1, 1)), (2,)),
             shape=shape)
        for i in range(size)
    ]  # fmt: skip
    return [ops.concat([ops.reshape(r, (1, *shape)) for r in rows], 0)], [0]


register(Primitive(
    name="random_bits", infer=_infer, reference=_reference, batch=_batch, lower=_lower,
))
