"""Trained initial states: values of parameters that states hold before the first step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from etp_ir import namespace as xp
from etp_ir.tracer import Tracer
from etp_ir.types import BOOL, TensorType

from .functional import element_wise
from .naming import give_name
from .variables import Param, State, StepTrace

FLAG = "at_start"


def learned(state: State) -> Param | None:
    """Return the trained parameter that a state starts from, if it has one."""
    start = state.initial
    return start if start is not None and start.trainable else None


def enter(trace: StepTrace, states: Mapping[str, State]) -> dict[str, np.ndarray[Any, Any]]:
    """Let states that start from a trained parameter read it in the first step.

    A boolean state, true in the first step and false after it, selects between the parameter,
    as an element-wise weight, and the state. So a trained start is a weight like others: it has a
    trace, which decays as the state forgets where it started.

    Returns
    -------
    dict
        Initial value of the boolean state by its name; empty where no start is trained.
    """
    started = [(state, h0) for state in states.values() if (h0 := learned(state)) is not None]
    if not started:
        return {}
    builder = trace.builder
    name, taken = FLAG, {port.name for port in builder.inputs}
    while name in taken:
        name += "_"
    first = Tracer(builder, builder.input(name, TensorType(BOOL), "state"))
    for state, h0 in started:
        old = trace.values[id(state)]
        with builder.at(state.source):
            now = xp.where(first, element_wise(trace.values[id(h0)]), old)
        give_name(now, f"{trace.paths[id(state)]}_now")
        trace.values[id(state)] = now
    return {name: np.array(True)}


def is_flag(name: str) -> bool:
    """Whether an entry of a stream is the boolean state of `enter`."""
    return name.rstrip("_") == FLAG
