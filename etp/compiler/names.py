"""Names that the compiler gives."""

from __future__ import annotations

EMITTED = ".emitted"


def is_emission(state: str) -> bool:
    """Whether a state is what units emit, made one for the traces."""
    return state.rstrip("_").endswith(EMITTED)
