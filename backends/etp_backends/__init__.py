"""Array libraries that run programs of the IR, each loaded only when it is asked for."""

from .registry import available, get, names

__all__ = ["available", "get", "names"]
