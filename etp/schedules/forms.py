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

from .adjoint import adjoint_step, leave, read_lanes
from .lanes import Lane
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
    def _adjoint(self) -> tuple[Program, tuple[Lane, ...]]:
        return adjoint_step(self.steps)

    @property
    def adjoint(self) -> Program:
        """The step without its linear traces."""
        return self._adjoint[0]

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """The lanes of the adjoint step."""
        return self._adjoint[1]

    @cached_property
    def lane_entry(self) -> Program:
        """The reading of entry traces by the adjoints of the lanes."""
        return read_lanes(self.steps, self.lanes)

    @cached_property
    def leave(self) -> Program:
        """The traces at the end of a chunk that did not keep them."""
        return leave(self.steps, self.lanes)
