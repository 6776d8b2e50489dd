"""A traced step in the form that the compiler reads: weight products are its own nodes.

Eligibility traces follow weight products and paths between states. Both may lie in regions of
`cond` and `scan` nodes; these are written out. What neither holds a product nor lies between two
states stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable

from etp_ir.builder import Builder
from etp_ir.checks import check_definitions
from etp_ir.core import Node, Operand, Program
from etp_ir.errors import ModelError, NotSupportedError, compose
from etp_ir.passes import dce
from etp_ir.source import Source
from etp_ir.transforms.flatten import Flattener

from .ahead import ahead
from .through import position_wise

# A loop of more rounds is not written out: programs would grow beyond reason.
LONGEST = 256


def canonical(program: Program) -> Program:
    """Return the step with choices and loops that traces must see into written out.

    Choices become selections. What the branch not taken computes is kept finite, so that it adds
    nothing to a value or a gradient.

    Parameters
    ----------
    program
        A step, with or without its loss.

    Raises
    ------
    etp.NotSupportedError
        If a weight product lies in a `while` loop or in a loop too long to write out.
    etp.ModelError
        If the step uses a value that belongs to the inside of a loop or a branch.
    """
    for fault in check_definitions(program):
        source = fault.node.source if fault.node else None
        raise ModelError(
            compose("a value made inside of etp.cond or a loop is used outside of it",
                    where=_place(source), how="return it from the function that computes it")
        )  # fmt: skip
    if any(m.primitive.is_etp for n in program.nodes for m in _inside(n)):
        program = dce(ahead(program))
    wanted = _wanted(program)
    if not wanted:
        return program
    builder = Builder(program.name)
    builder.inputs = list(program.inputs)
    steady: set[Operand] = {p.value for p in program.inputs if p.role.kind in ("param", "const")}
    outside = set(program.nodes)
    env: dict[Operand, Operand] = {}
    # Inside of what is written out, everything that can be is.
    Flattener(
        builder, lambda n: n in wanted or (n not in outside and _opens(n)), steady=steady
    ).run(program.nodes, env)
    outputs = [(env.get(o.value, o.value), o.role) for o in program.outputs]
    return dce(builder.finish(outputs))


def _wanted(program: Program) -> set[Node]:
    """Return the nodes to write out: those with weight products, and those between states."""
    leaving: set[Operand] = {o.value for o in program.outputs_of("state")}
    for node in reversed(program.nodes):
        if not leaving.isdisjoint(node.outputs):
            leaving.update(node.inputs)
    found: set[Node] = set()
    for node in program.nodes:
        marks = [n for n in _inside(node) if n.primitive.is_etp]
        if marks:
            _check(node, marks[0])
        elif leaving.isdisjoint(node.outputs):
            continue
        if _opens(node):
            found.add(node)
    return found


def _opens(node: Node) -> bool:
    """Whether a node is written out: a choice, or a loop through which no position is followed."""
    if node.primitive.name != "scan":
        return node.primitive.name == "cond"
    marked = any(n.primitive.is_etp for n in _inside(node))
    return node.attrs["length"] <= LONGEST and (marked or not position_wise(node))


def _inside(node: Node) -> Iterable[Node]:
    for region in node.regions:
        yield from region.walk()


def _check(node: Node, mark: Node) -> None:
    """Refuse weight products where no trace can follow them."""
    for n in (node, *_inside(node)):
        if not any(m is mark for m in _inside(n)):
            continue
        if n.primitive.name == "while":
            raise NotSupportedError(
                compose(f"`{mark.primitive.name}` inside of a while loop takes part in no traces "
                        "(ETP502)",
                        where=_place(mark.source or n.source),
                        how="use etp.fori_loop or etp.scan with a fixed number of rounds, or a "
                            "plain product, `x @ w`, for the gradient of each step only")
            )  # fmt: skip
        if n.primitive.name == "scan" and n.attrs["length"] > LONGEST:
            raise NotSupportedError(
                compose(f"`{mark.primitive.name}` inside of a loop of {n.attrs['length']} rounds "
                        f"(at most {LONGEST}) (ETP502)", where=_place(mark.source or n.source),
                        how="compute the product before the loop, or take fewer rounds")
            )  # fmt: skip


def _place(source: Source | None) -> str:
    return f"traced at {source}" if source is not None else ""
