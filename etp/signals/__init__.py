"""Learning signals: how credit for the loss arrives at the states of a model."""

from .base import SYMMETRIC, Shared, Signal, Symmetric

__all__ = ["SYMMETRIC", "Shared", "Signal", "Symmetric"]
