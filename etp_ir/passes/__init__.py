"""Rewritings of programs: valid in, valid out, one per file."""

from .dce import dce
from .lower import lower

__all__ = ["dce", "lower"]
