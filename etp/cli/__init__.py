"""The command line, ``etp``."""

from importlib import import_module

from .app import app, main

for _commands in ("train", "inspect", "listing"):  # each adds its commands, in this order
    import_module(f"{__name__}.{_commands}")

__all__ = ["app", "main"]
