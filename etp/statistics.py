"""Statistics over the examples of a batch."""

from __future__ import annotations

from typing import Any

from etp_ir.namespace.dispatch import align, extension
from etp_ir.primitive import get
from etp_ir.tracer import bind


@extension(lambda x: x)
def batch_mean(x: Any, /) -> Any:
    """Return the mean over the examples of the batch, the same for all of them.

    A model is written for one example, so outside of a learner it returns ``x``. All examples
    count alike, also those that a mask leaves out of the loss: a mask says which losses count, not
    which steps take place.

    Gradients of a step follow it: they are those of the summed losses of the batch. Eligibility
    traces never lead from one example to another, so what an earlier step does through it to the
    states of others is left out; the status of a parameter says where that is so.

    Raises
    ------
    NotSupportedError
        When compiled inside of a loop or a choice, with the user's line.
    """
    (x,) = align("batch_mean", x, floating=True)
    return bind(get("batch_mean"), x)
