"""Finding a backend by name, without importing any array library before it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec

from attrs import frozen

from etp_ir.backend import Backend
from etp_ir.errors import ETPError, compose, nearest

GROUP = "etp.backends"


class BackendError(ETPError):
    """A backend is unknown, or cannot run on this machine."""


@frozen
class Entry:
    """Where a backend lives.

    Attributes
    ----------
    target
        ``"module:Class"``, imported when the backend is asked for.
    requires
        Packages that must be importable.
    install
        What to install when they are not.
    """

    target: str
    requires: tuple[str, ...] = ()
    install: str = ""


BUILT_IN: dict[str, Entry] = {
    "numpy": Entry("etp_backends.numpy.backend:NumpyBackend", ("numpy",), "numpy"),
    "jax": Entry("etp_backends.jax.backend:JaxBackend", ("jax", "jaxlib"), "'etp-learn[jax]'"),
    "cupy": Entry(
        "etp_backends.cupy.backend:CupyBackend", ("cupy", "array_api_compat"), "'etp-learn[cupy]'"
    ),
}
_loaded: dict[str, Backend] = {}


def _entries() -> dict[str, Entry]:
    """Return the built-in backends, then those that installed packages declare."""
    found = dict(BUILT_IN)
    for point in sorted(entry_points(group=GROUP), key=lambda p: p.name):
        found.setdefault(point.name.lower(), Entry(point.value))
    return found


def names() -> list[str]:
    """Return the names `get` accepts, besides ``"auto"``."""
    return list(_entries())


def get(backend: str | Backend = "auto") -> Backend:
    """Return a backend for its name, or the backend object itself.

    ``"auto"`` is JAX where it is installed, else NumPy.

    Raises
    ------
    BackendError
        If no backend has the name, its package is missing, or it finds no device.
    """
    if isinstance(backend, Backend):
        return backend
    if not isinstance(backend, str):
        raise BackendError(
            f"a backend is a name or a Backend object, got {type(backend).__name__}"
            f"; known are {', '.join(names())}, auto"
        )
    name = backend.lower()
    if name == "auto":
        name = "jax" if not _missing(BUILT_IN["jax"]) else "numpy"
    if name not in _loaded:
        entries = _entries()
        if name not in entries:
            known = [*entries, "auto"]
            raise BackendError(f"no backend {backend!r}{nearest(name, known)}")
        _loaded[name] = _load(name, entries[name])
    return _loaded[name]


def available() -> dict[str, str | None]:
    """Return, for each backend, None where it can run and else the reason why it cannot."""
    reasons: dict[str, str | None] = {}
    for name in names():
        try:
            get(name)
        except BackendError as error:
            reasons[name] = str(error)
        else:
            reasons[name] = None
    return reasons


def _missing(entry: Entry) -> list[str]:
    return [package for package in entry.requires if find_spec(package) is None]


def _load(name: str, entry: Entry) -> Backend:
    """Import and make a backend.

    Raises
    ------
    BackendError
        If a package is missing or the backend refuses to start, saying what to install.
    """
    missing = _missing(entry)
    if missing:
        raise BackendError(
            compose(
                f"backend {name!r} needs the package {missing[0]!r}, which is not installed",
                how=f"run `pip install {entry.install}`, or choose another backend",
            )
        )
    module, _, attribute = entry.target.partition(":")
    try:
        factory: Callable[[], Backend] = getattr(import_module(module), attribute)
        return factory()
    except BackendError:
        raise
    except Exception as error:
        raise BackendError(
            compose(f"backend {name!r} cannot start: {error}", how="choose another backend")
        ) from error
