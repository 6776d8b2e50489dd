"""The command line, ``etp``."""

from importlib import import_module

from .app import app, main

# Each adds its commands, in this order.
for _commands in ("train", "inspect", "listing", "check", "compare"):
    import_module(f"{__name__}.{_commands}")

__all__ = ["app", "main"]
