"""Gradients computed another way, to hold learning rules against."""

from .differences import finite_differences
from .unrolled import unrolled_gradient, unrolled_shares

__all__ = ["finite_differences", "unrolled_gradient", "unrolled_shares"]
