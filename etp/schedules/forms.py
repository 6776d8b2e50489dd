"""Programs of one step for one example, from which every schedule is put together.

============  ==================================================================================
``online``    traces advance, and the gradient of this step is read from them
``exact``     the step inside an exactly differentiated window: later steps report through
              ``later.h``, traces advance but are read only at the window's entry
``adjoint``   a linear trace is not kept: what later signals would read from it is carried
              backwards instead, as ``ahead``
``entry``     reading of the traces at the entry of a window or chunk
``leave``     the traces at the end of a chunk that did not keep them
============  ==================================================================================
"""

from __future__ import annotations

from functools import cached_property

from attrs import define

from etp_ir.core import Program

from .adjoint import AdjointStep, adjoint_step, leave
from .online import online_step
from .steps import Steps
from .windowed import exact_step, read_states


@define
class Forms:
    """The step programs of one compiled model, each built when it is first asked for."""

    steps: Steps

    @cached_property
    def online(self) -> Program:
        """The step that advances the traces and reads the gradient from them."""
        return online_step(self.steps)

    @cached_property
    def exact(self) -> Program:
        """The step inside a window: exact derivatives, later steps included."""
        return exact_step(self.steps)

    @cached_property
    def entry(self) -> Program:
        """The reading of entry traces by signals on the states."""
        return read_states(self.steps)

    @cached_property
    def adjoint(self) -> AdjointStep:
        """The step without its linear traces, none of which leave the chunk."""
        return adjoint_step(self.steps, leaving=False)

    @cached_property
    def adjoint_leaving(self) -> AdjointStep:
        """The step without its linear traces, with their values at the end of the chunk."""
        return adjoint_step(self.steps, leaving=True)

    @cached_property
    def leave(self) -> Program:
        """The traces at the end of a chunk that did not keep them."""
        return leave(self.steps, self.adjoint_leaving)
