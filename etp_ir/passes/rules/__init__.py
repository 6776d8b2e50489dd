"""The rules of `simplify`, one family of primitives per file.

A new family is one new module in this folder; its rules register themselves.
"""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
