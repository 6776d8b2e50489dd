"""Keys of random numbers: a function of seed, sequence, example and step, and of nothing else.

A key is two 32-bit words. `fold` makes one of another and a number by the generator of the IR
(Threefry-2x32), so a chain of folds names a draw by where it stands. Nothing is carried along:
a run that is resumed, an example that moves to another batch size and a chunk that recomputes its
steps meet the same numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import evolve, frozen

from etp_ir import ops
from etp_ir.primitive import get
from etp_ir.tracer import bind

Array = np.ndarray[Any, np.dtype[np.uint32]]
STEP, SEQUENCE = "step", "sequence"
_TRAINING, _EVALUATION = 0, 1
# Steps are numbered from 0 and never reach it.
_WHOLE = 2**32 - 1


def fold(key: Any, number: Any) -> Any:
    """Return the key that follows from a key (..., 2) and a number (...)."""
    return bind(get("random_bits"), ops.add(key, number), shape=(2,))


def _folded(key: Array, numbers: Any) -> Array:
    """Return the keys that follow from one key, or one each, and several numbers."""
    with np.errstate(over="ignore"):
        return np.asarray(fold(key, np.asarray(numbers, np.uint32)[..., None]), np.uint32)


@frozen
class Stretch:
    """The random numbers of a stretch of steps of one sequence.

    Attributes
    ----------
    seed
        Seed of the learner.
    sequence
        Number of the sequence.
    start
        Number of the first step.
    training
        Evaluation draws from a stream of its own.
    """

    seed: int
    sequence: int = 0
    start: int = 0
    training: bool = True

    def examples(self, size: int) -> Array:
        """Return one key per example, (B, 2)."""
        words = np.asarray([self.seed & 0xFFFFFFFF, self.seed >> 32 & 0xFFFFFFFF], np.uint32)
        # Seeds are scrambled before numbers are added to them, so that no two chains meet.
        key = _folded(_folded(words, 0), _TRAINING if self.training else _EVALUATION)
        return _folded(_folded(key, self.sequence & 0xFFFFFFFF), np.arange(size))

    def keys(self, per: str, length: int, size: int) -> Array:
        """Return one key per step and example, (T, B, 2); the same at all steps for a sequence."""
        examples = self.examples(size)
        if per == SEQUENCE:
            return np.broadcast_to(_folded(examples, _WHOLE), (length, size, 2))
        steps = self.start + np.arange(length)
        return _folded(examples[None], np.broadcast_to(steps[:, None], (length, size)))


def step_keys(examples: Any, per: str, step: Any) -> Any:
    """Return the keys of one step, traced, given those of examples (B, 2)."""
    return fold(examples, _WHOLE if per == SEQUENCE else step)


@frozen
class Draws:
    """Where a learner stands in its random numbers.

    Attributes
    ----------
    seed
        A whole number.
    sequences
        Sequences begun so far in training.
    stream
        Sequence and next step of the stream, where one is under way.
    """

    seed: int = 0
    sequences: int = 0
    stream: tuple[int, int] | None = None

    def sequence(self) -> tuple[Stretch, Draws]:
        """Return the numbers of the next sequence, and where the learner stands after it."""
        return Stretch(self.seed, self.sequences), evolve(self, sequences=self.sequences + 1)

    def step(self) -> tuple[Stretch, Draws]:
        """Return the numbers of the next step of the stream, and where the learner stands then."""
        at = self if self.stream else evolve(self, sequences=self.sequences + 1)
        sequence, step = self.stream or (self.sequences, 0)
        return Stretch(self.seed, sequence, step), evolve(at, stream=(sequence, step + 1))

    def reset(self) -> Draws:
        """Return where the learner stands when the stream is given up."""
        return evolve(self, stream=None)
