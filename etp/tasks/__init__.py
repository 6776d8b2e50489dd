"""Tasks, real data and drawn ones; each lives in a file of its own and is known by name."""

from .batches import Batches
from .copy_memory import copy_memory
from .delayed_match import delayed_match
from .digits import digits
from .evidence import evidence
from .sines import sines
from .task import Split, Task, TaskError, available, load

__all__ = [
    "Batches", "Split", "Task", "TaskError", "available", "copy_memory", "delayed_match",
    "digits", "evidence", "load", "sines",
]  # fmt: skip
