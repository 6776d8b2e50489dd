"""The reference semantics: NumPy, one node at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .core import Literal, Operand, Program, Value


def run(program: Program, arguments: Sequence[Any]) -> list[np.ndarray[Any, Any]]:
    """Return the outputs of a program for arguments in the order of its inputs."""
    env: dict[Value, Any] = {
        port.value: np.asarray(x, dtype=port.type.dtype.numpy())
        for port, x in zip(program.inputs, arguments, strict=True)
    }

    def look(x: Operand) -> Any:
        if isinstance(x, Literal):
            return np.asarray(x.value, dtype=x.dtype.numpy())
        return env[x]

    for node in program.nodes:
        results = node.primitive.reference(*(look(x) for x in node.inputs), **node.attrs)
        if len(node.outputs) == 1 and not isinstance(results, tuple):
            results = (results,)
        for value, result in zip(node.outputs, results, strict=True):
            env[value] = np.asarray(result, dtype=value.type.dtype.numpy())
    return [look(out.value) for out in program.outputs]


def evaluate(program: Program, arrays: Mapping[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """Return the outputs by key for arguments by name."""
    results = run(program, [arrays[port.name] for port in program.inputs])
    return {out.key: r for out, r in zip(program.outputs, results, strict=True)}
