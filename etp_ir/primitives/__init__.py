"""The primitives, one family per file; importing the package registers all of them.

A new family is one new module in this folder: it calls `register` and is found here.
"""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
