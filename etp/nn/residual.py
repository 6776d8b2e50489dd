"""Layers beside a shortcut."""

from __future__ import annotations

from typing import Any

from etp_ir import namespace as xp
from etp_ir.errors import ShapeError

from ..given import mistake
from ..model import Module


class Residual(Module):
    r"""Layers whose output is added to a shortcut, $y = S(x) + F(x)$.

    He et al., "Deep residual learning for image recognition", CVPR 2016.

    Parameters
    ----------
    body
        $F$, a module or a function of an array.
    shortcut
        $S$, the identity where not given; a map where $F$ changes the shape.

    Raises
    ------
    ShapeError
        If the two outputs differ in shape, with the user's line.
    """

    def __init__(self, body: Any, shortcut: Any = None) -> None:
        self.body = body
        self.shortcut = shortcut

    def __call__(self, x: Any) -> Any:
        """Return the sum of both."""
        past = x if self.shortcut is None else self.shortcut(x)
        through = self.body(x)
        shapes = tuple(past.shape), tuple(through.shape)
        if shapes[0] != shapes[1]:
            raise mistake(
                ShapeError, f"the shortcut is of shape {shapes[0]}, the body of shape {shapes[1]}",
                "give a shortcut that maps one to the other, such as etp.nn.Linear",
            )  # fmt: skip
        return xp.add(past, through)
