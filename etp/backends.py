"""Backends by name; the array libraries behind them are imported when they are asked for."""

from __future__ import annotations

from typing import Any

from etp_ir.backend import Backend


def get(backend: str | Backend = "auto") -> Backend:
    """Return the backend for a name or an object; ``"auto"`` is JAX where installed.

    Raises
    ------
    etp.ETPError
        If the name is unknown, the package is missing, or there is no device.
    """
    from etp_backends import registry

    return registry.get(backend)


def portable(backend: Backend) -> str | Backend:
    """Return what another process finds the backend by: its name, or itself if it was made apart.

    A backend may hold a device or a module, which do not pickle.
    """
    from etp_backends import registry

    if backend.name in registry.names() and registry.get(backend.name) is backend:
        return backend.name
    return backend


def available() -> dict[str, Any]:
    """Return, for each backend, None where it can run and else the reason why it cannot."""
    from etp_backends import registry

    return registry.available()
