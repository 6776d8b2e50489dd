"""JAX: programs traced into XLA, on CPU, GPU or TPU."""

from .backend import JaxBackend
from .executable import JaxExecutable, Memory
from .options import compiler_options

__all__ = ["JaxBackend", "JaxExecutable", "Memory", "compiler_options"]
