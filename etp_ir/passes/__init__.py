"""Rewritings and analyses of programs, one per file; a rewriting takes valid to valid."""

from .cse import cse
from .dce import dce
from .fuse import regions
from .liveness import last_uses, plan
from .lower import lower, unmarked
from .simplify import simplify

__all__ = ["cse", "dce", "last_uses", "lower", "plan", "regions", "simplify", "unmarked"]
