"""Studies of learning rules: what a gradient is worth, and what comes of training with it."""

from .alignment import Alignment, GradientAlignment, align, alignment

__all__ = ["Alignment", "GradientAlignment", "align", "alignment"]
