"""How the letters of a contraction fall into batch, rows, columns and summed ones."""

from __future__ import annotations

from attrs import frozen

from etp_ir.primitives.contract import Spec, parse_spec


@frozen
class Classes:
    """The letters of ``x,y->out`` by where they occur, each in the order of the output.

    Attributes
    ----------
    batch
        In both operands and the output.
    rows
        In ``x`` and the output only.
    cols
        In ``y`` and the output only.
    summed
        In both operands, not in the output.
    lone_x, lone_y
        In one operand alone: summed before anything else.
    """

    batch: str
    rows: str
    cols: str
    summed: str
    lone_x: str
    lone_y: str


def classify(spec: Spec) -> Classes:
    """Return the letter classes of a contraction."""
    x, y, out = set(spec.x), set(spec.y), set(spec.out)
    return Classes(
        batch="".join(c for c in spec.out if c in x and c in y),
        rows="".join(c for c in spec.out if c in x - y),
        cols="".join(c for c in spec.out if c in y - x),
        summed="".join(c for c in spec.x if c in y - out),
        lone_x="".join(c for c in spec.x if c not in y | out),
        lone_y="".join(c for c in spec.y if c not in x | out),
    )


def without_lone(spec: Spec) -> Spec:
    """Return the contraction that is left once the letters of one operand alone are summed."""
    classes = classify(spec)
    return parse_spec(f"{drop(spec.x, classes.lone_x)},{drop(spec.y, classes.lone_y)}->{spec.out}")


def drop(term: str, letters: str) -> str:
    """Return the term without some letters."""
    return "".join(c for c in term if c not in letters)


def order_of(term: str, wanted: str) -> tuple[int, ...]:
    """Return the axes of ``term`` in the order of the letters ``wanted``."""
    return tuple(term.index(c) for c in wanted)
