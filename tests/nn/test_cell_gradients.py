"""What every cell of `etp.nn` promises on its gradients, held against back-propagation."""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import etp
from etp.oracle import unrolled_gradient
from tests.models import NN_CELLS, VARIANTS, build, data
from tests.nn.cells_page import main
from tests.nn.facts import Facts, facts

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cells.md"

NAMES = {**NN_CELLS, **{short: name for short, (name, _) in VARIANTS.items()}}
CELL = pytest.mark.parametrize(
    "cell", [*NN_CELLS, *(pytest.param(name, marks=pytest.mark.slow) for name in VARIANTS)]
)
Arrays = dict[str, np.ndarray]
pytestmark = pytest.mark.filterwarnings("ignore::etp.CompilationWarning")


def told(cell: str) -> Facts:
    return facts(etp.nn.cells()[NAMES[cell]])


@cache
def learner(cell: str, rule: str, window: int = 1, schedule: str = "auto") -> etp.Learner:
    x, y = data(1, 1)
    return etp.compile(
        build(cell), rule, "mse", backend="numpy", dtype="float64", window=window,
        schedule=schedule, example=(x[0, 0], y[0, 0]),
    )  # fmt: skip


@cache
def oracle(cell: str, length: int) -> Arrays:
    """Return the gradient by differentiating the unrolled program."""
    x, y = data(length, 3)
    lr = learner(cell, "bptt")
    lr.specialise(x[0, 0], y[0, 0])
    compiled = lr.engine.last()[0]
    arrays = {**compiled.step.params, **compiled.step.states, **compiled.loss.constants}
    mask = np.ones((length, 3))
    return unrolled_gradient(compiled.loss.program, arrays, {"x": x, "target": y}, mask)


def deviations(cell: str, length: int, rule: str, window: int, schedule: str) -> dict[str, float]:
    """Return by how much each gradient differs from the oracle, relative to its own size."""
    got = learner(cell, rule, window, schedule).grad(*data(length, 3), reduction="sum")[0]
    want = oracle(cell, length)
    assert list(got) == list(want)
    largest = max(np.abs(g).max() for g in want.values())
    assert largest > 1e-3, "nothing is compared"
    # What is rounding to all the others is rounding here.
    size = {n: max(np.abs(g).max(), 1e-4 * largest) for n, g in want.items()}
    return {n: float(np.abs(got[n] - g).max() / size[n]) for n, g in want.items()}


@CELL
def test_every_parameter_is_alive(cell: str) -> None:
    grads = oracle(cell, 20)
    assert all(np.abs(g).max() > 1e-6 for g in grads.values())
    assert all(np.isfinite(g).all() for g in grads.values())


@pytest.mark.parametrize("window", [0, 1])
@pytest.mark.parametrize("rule", ["d_rtrl", "pp_prop"])
@CELL
def test_one_step_equals_bptt(cell: str, rule: str, window: int) -> None:
    assert max(deviations(cell, 1, rule, window, "step").values()) < 1e-9


@CELL
def test_statuses_are_as_documented(cell: str) -> None:
    said = told(cell)
    own = statuses(cell)
    assert own
    assert own == {name: said.status(name) for name in own}


def statuses(cell: str) -> dict[str, str]:
    """Return what the compiler says of the cell's own parameters."""
    report = learner(cell, "d_rtrl").report().parameters
    return {n.removeprefix("cell."): s.status for n, s in report.items() if n.startswith("cell.")}


@pytest.mark.parametrize("name", etp.nn.cells())
def test_docstrings_speak_of_no_other_parameters(name: str) -> None:
    found = {p for cell in NAMES if NAMES[cell] == name for p in statuses(cell)}
    for pattern in (p for group in facts(etp.nn.cells()[name]).statuses.values() for p in group):
        assert any(fnmatchcase(parameter, pattern) for parameter in found), pattern


@pytest.mark.parametrize(
    ("window", "schedule"),
    [
        (1, "step"),
        (0, "chunk(6)"),
        pytest.param(0, "step", marks=pytest.mark.slow),
        pytest.param(1, "chunk(6)", marks=pytest.mark.slow),
        pytest.param(2, "auto", marks=pytest.mark.slow),
    ],
)
@CELL
def test_exact_is_bptt_over_twenty_steps_and_the_rest_is_not(
    cell: str, window: int, schedule: str
) -> None:
    said = told(cell)
    for name, worst in deviations(cell, 20, "d_rtrl", window, schedule).items():
        status = said.status(name.removeprefix("cell.")) if name.startswith("cell.") else "exact"
        if status == "exact":
            assert worst < 1e-8, name
        else:
            assert worst > 1e-5, name


# -- the page ------------------------------------------------------------------------------
def test_the_page_of_cells_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(PAGE), "--check"]) == 0, capsys.readouterr().err
