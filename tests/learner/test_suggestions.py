"""What is suggested for a name that other libraries use."""

from __future__ import annotations

import numpy as np
import pytest

import etp
from etp_ir.errors import nearest


def test_the_usual_cross_entropy_is_that_of_the_softmax() -> None:
    with pytest.raises(etp.ModelError, match="did you mean 'softmax_cross_entropy'"):
        etp.compile(etp.nn.GRUCell(2, 3, rng=np.random.default_rng(0)), loss="cross_entropy")


def test_swish_is_silu() -> None:
    cells = [
        etp.nn.VanillaRNNCell(2, 3, activation=name, rng=np.random.default_rng(0))
        for name in ("swish", "silu")
    ]
    x = np.ones(2)
    swish, silu = (cell(x) for cell in cells)
    np.testing.assert_array_equal(swish, silu)
    assert np.abs(swish).min() > 0


@pytest.mark.parametrize(
    ("name", "known", "wanted"),
    [("gry", ["gru", "lstm"], "gru"), ("w", ["v", "cell.w"], "cell.w"), ("W", ["a_w", "w"], "w")],
)
def test_the_nearest_name(name: str, known: list[str], wanted: str) -> None:
    assert nearest(name, known) == f"; did you mean {wanted!r}?"
