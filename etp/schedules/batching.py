"""A step for one example as a step for a batch: which values every example has of its own."""

from __future__ import annotations

from collections.abc import Collection

from etp_ir.core import Program
from etp_ir.errors import ModelError, compose
from etp_ir.passes import unmarked
from etp_ir.transforms.batch import batch_program

# Roles of inputs and outputs that all examples share.
SHARED = ("param", "const", "buffer")


def batch_step(
    program: Program, size: int, *, shared: Collection[str] = (), total: Collection[str] = ()
) -> Program:
    """Return a step program for the examples of a batch.

    Parameters
    ----------
    shared
        Names of further inputs, and first names of the roles of further outputs, that belong to
        no example.
    total
        Kinds of roles whose outputs are summed over the examples.

    Raises
    ------
    etp.ModelError
        If a buffer would differ from example to example.
    """
    program = unmarked(program)
    axes = {
        p.name: 0 for p in program.inputs if p.role.kind not in SHARED and p.name not in shared
    }  # fmt: skip
    own = [
        i for i, o in enumerate(program.outputs)
        if o.role.kind not in (*total, *SHARED) and o.role.of[:1] not in [(n,) for n in shared]
    ]  # fmt: skip
    batched, differs = batch_program(
        program, size, axes, total=total, force=own, which_outputs=True, examples=True
    )
    for out, apart in zip(program.outputs, differs, strict=True):
        if out.role.kind == "buffer" and apart:
            raise ModelError(
                compose(f"buffer {out.role.of[0]!r} is shared by all examples and was assigned a "
                        "value that differs from one to the next",
                        how="assign a mean over the batch, etp.batch_mean(x); what each example "
                            "carries is an etp.State")
            )  # fmt: skip
    whole: Program = batched
    return whole
