"""Several inputs come as one dict: what is said where a model takes them by name, or whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import etp
from etp import xp
from etp.model import trace_step
from etp_ir.types import F32, TensorType

X = TensorType(F32, (2,))


class Whole(etp.Module):
    def __init__(self) -> None:
        self.w, self.h = etp.Param(np.ones((2, 2))), etp.State((2,))

    def __call__(self, x: Any) -> Any:
        return xp.tanh(x)


class Traced(Whole):
    def __call__(self, x: Any) -> Any:
        return x["a"] + x


class ByName(Whole):
    def __call__(self, a: Any, b: Any = None) -> Any:
        return etp.matmul(a, self.w) if b is None else b


@pytest.mark.parametrize(("model", "text"), [
    (ByName, "must take one argument"), (Whole, "a dict of 'a', 'b' is no array"),
    (Traced, "a dict of 'a', 'b' is no array"),
])  # fmt: skip
def test_inputs_by_name_come_as_one_dict(model: type[etp.Module], text: str) -> None:
    with pytest.raises(etp.ETPError, match=text) as caught:
        trace_step(model(), {"a": X, "b": X})
    assert f"{model.__name__}.__call__" in str(caught.value)
    assert "test_inputs_by_name.py:" in str(caught.value)
    assert "out of it" in str(caught.value)
