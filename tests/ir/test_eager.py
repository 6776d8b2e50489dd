"""Arrays whose shapes do not fit are the same error outside of a model as in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import etp
from etp import xp

ONES = np.ones

CASES: dict[str, Callable[[Any], Any]] = {
    "matmul": lambda of: etp.matmul(of((2,)), of((3, 4))),
    "bias": lambda of: etp.matmul(of((3,)), of((3, 4)), of((5,))),
    "param": lambda of: etp.matmul(of((2,)), etp.Param(ONES((3, 4)))),
    "einsum": lambda of: etp.einsum("i,io->o", of((2,)), of((3, 4))),
    "einsum bias": lambda of: etp.einsum("i,io->o", of((3,)), of((3, 4)), of((5,))),
    "grouped bias": lambda of: etp.grouped_matmul(of((2, 3)), of((2, 3, 4)), of((2, 5))),
    "add": lambda of: xp.add(of((2,)), of((3,))),
    "concat": lambda of: xp.concat([of((2, 2)), of((3, 3))], axis=0),
}


@pytest.mark.parametrize("array", ["numpy", "jax"])
@pytest.mark.parametrize("case", CASES)
def test_the_error_is_ours_with_the_line(case: str, array: str) -> None:
    of = np.ones if array == "numpy" else pytest.importorskip("jax.numpy").ones
    with pytest.raises(etp.ShapeError) as caught:
        CASES[case](of)
    text = str(caught.value)
    line = CASES[case].__code__.co_firstlineno
    assert f"tests/ir/test_eager.py:{line} in " in text, text
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_other_mistakes_stay_those_of_the_library() -> None:
    with pytest.raises(TypeError):
        xp.add(np.ones(2), "a")


def test_what_fits_is_computed() -> None:
    np.testing.assert_array_equal(etp.matmul(np.ones(3), np.ones((3, 4)), np.ones(4)), [4.0] * 4)
