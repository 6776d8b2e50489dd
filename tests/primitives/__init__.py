"""What is drawn for every eligibility-trace primitive; a module here registers its own."""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    if not _module.name.startswith("test_"):
        import_module(f"{__name__}.{_module.name}")
