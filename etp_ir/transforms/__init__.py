"""Transformations of programs: derivatives and batching."""

from .batch import batch_program
from .jvp import jvp, push
from .linearize import Linear, linearize
from .transpose import pull
from .vjp import vjp

__all__ = ["Linear", "batch_program", "jvp", "linearize", "pull", "push", "vjp"]
