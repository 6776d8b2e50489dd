"""Which line errors and diagnostics name, and how warnings are laid out."""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np
import pytest

import etp
from etp import xp


def line_of(definition: Any, text: str) -> int:
    lines, first = inspect.getsourcelines(definition)
    (at,) = [i for i, line in enumerate(lines) if text in line]
    return first + at


def layers() -> etp.Module:
    rng = np.random.default_rng(0)
    return etp.nn.Sequential(etp.nn.GRUCell(3, 4, rng=rng), etp.nn.Linear(4, 2, rng=rng))


class Held(etp.Module):
    def __init__(self) -> None:
        self.cell = etp.nn.GRUCell(3, 4, rng=np.random.default_rng(0))

    def __call__(self, x: Any) -> Any:
        return self.cell(x)  # the line


def test_a_net_of_layers_alone_is_named_by_the_layer() -> None:
    learner = etp.compile(layers(), backend="numpy", example=(np.zeros(3), np.array(0)))
    places = {str(r.source) for r in learner.graph.find(kind="ETP401")}
    assert places
    for place in places:
        assert re.search(r"etp/nn/gru\.py:\d+ in GRUCell\.__call__$", place), place
    with pytest.raises(etp.ShapeError, match=r"etp/nn/gru\.py:\d+ in GRUCell\.__call__"):
        etp.compile(layers(), backend="numpy").predict(np.zeros((2, 1, 5)))


def test_the_line_of_a_model_goes_before_that_of_a_layer() -> None:
    example = np.zeros(3), np.array(0)
    learner = etp.compile(Held(), backend="numpy", example=example)
    line = line_of(Held, "# the line")
    found = learner.graph.find(kind="ETP401")
    assert found
    assert {r.source.line for r in found} == {line}
    assert {r.source.function for r in found} == {"Held.__call__"}


def mixed(x: Any, w: Any) -> Any:
    return xp.matmul(x, w)


class Promising(etp.Module):
    def __init__(self, product: Any) -> None:
        self.product = product
        self.w = etp.Param(np.ones((3, 3)))
        self.h = etp.State((3,))

    def __call__(self, x: Any) -> Any:
        self.h.value = 0.5 * self.h.value + self.product(x, self.w)  # the call
        return self.h.value


@pytest.mark.parametrize("letters", ["io->i", "io->oi"])
def test_letters_that_do_not_hold_name_the_call_in_the_model(letters: str) -> None:
    product = etp.register_primitive("test.promising", mixed, {"w": letters}, replace=True)
    line = line_of(Promising, "# the call")
    with pytest.raises(etp.ModelError) as caught:
        etp.compile(Promising(product), loss="mse", example=(np.zeros(3), np.zeros(3)))
    text = str(caught.value)
    assert f"test_places.py:{line} in Promising.__call__" in text, text
    assert "functools" not in text
    assert len(re.findall(r"\bat \S+:\d+", text)) == 1, text


class Idle(etp.Module):
    def __init__(self) -> None:
        self.w, self.unused = etp.Param(np.ones((3, 3))), etp.Param(np.ones(3))
        self.h = etp.State((3,))

    def __call__(self, x: Any) -> Any:
        self.h.value = 0.5 * self.h.value + etp.matmul(x, self.w)
        return self.h.value


def test_the_parts_of_a_warning_line_up() -> None:
    with pytest.warns(etp.CompilationWarning) as caught:
        etp.compile(Idle(), loss="mse", backend="numpy", example=(np.zeros(3), np.zeros(3)))
    first, *rest = str(caught[0].message).splitlines()
    assert first.startswith("ETP109: ")
    assert len(rest) == 2
    assert all(re.match(r"  \S", line) for line in rest), rest
