"""Tasks on real data; each lives in a file of its own and is known by name."""

from .batches import Batches
from .digits import digits
from .task import Split, Task, TaskError, available, load

__all__ = ["Batches", "Split", "Task", "TaskError", "available", "digits", "load"]
